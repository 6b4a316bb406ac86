"""`tailrace doctor --url` through a proxy that does one thing wrong: it finds that, and nothing else."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from yarl import URL

from app.doctor.findings import Finding, Level, as_json, as_text
from app.doctor.outside import visit
from tests.deploy.proxies import certificate
from tests.doubles.proxy import ProxyDouble, Wrong
from tests.support.server import LiveServer, serve

TOKEN = "plum-9f3c71d2a8e4b605"
USER = "X-Forwarded-User"


@pytest.fixture
async def protected(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server that wants a token, behind a proxy that it trusts."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    (tmp_path / "data").mkdir()
    async with serve(
        tmp_path / "data", access_token=TOKEN, trusted_proxies=("127.0.0.1",), heartbeat=0.5, headers=headers
    ) as server:
        yield server


@asynccontextmanager
async def behind(server: LiveServer, folder: Path, wrong: Wrong) -> AsyncIterator[tuple[URL, str]]:
    """Put a proxy with TLS in front of a server; yield its address and its certificate."""
    made, key = certificate(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made, key)
    async with ProxyDouble(server.url, wrong, is_https=True).serving(context) as proxy:
        yield URL(proxy.url + "/"), str(made)


async def visited(
    url: URL, ca: str | None, *, token: str | None = TOKEN, seconds: float = 1.5
) -> list[Finding]:
    """Run all checks."""
    checks = visit.check(url, token=token, seconds=seconds, cafile=ca, user_header=USER)
    return [finding async for finding in checks]


def wrongs(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Return check and level of what is not well, but for HTTP/2, which the double does not speak."""
    return [
        (finding.check, str(finding.level))
        for finding in findings
        if finding.level in (Level.WARNING, Level.PROBLEM) and finding.check != "HTTP version"
    ]


async def test_a_right_proxy_is_found_right(protected: LiveServer, tmp_path: Path) -> None:
    """Every check is made and is content."""
    async with behind(protected, tmp_path, Wrong()) as (url, ca):
        findings = await visited(url, ca)
    assert wrongs(findings) == []
    checked = {finding.check for finding in findings if finding.level is Level.OK}
    assert checked >= {
        "server",
        "certificate",
        "stream",
        "forwarded host",
        "forwarded scheme",
        "CSP",
        "headers",
    }
    assert checked >= {"access", "request size"}


@pytest.mark.parametrize(
    ("wrong", "check", "words"),
    [
        (Wrong(buffers=True), "stream", "buffers event streams"),
        (Wrong(holds_back=True), "stream", "buffers event streams"),
        (Wrong(holds_first=2), "stream", "buffers event streams for a time"),
        (Wrong(gathers=1), "stream", "heartbeats came at once"),
        (Wrong(compresses=True), "stream", "compresses it (gzip)"),
        (Wrong(cuts_after=0.7), "stream", "cut after 1 s"),
        (Wrong(changes_type=True), "stream", "arrives as text/plain"),
        (Wrong(drops_cache_control=True), "stream", "Cache-Control"),
        (Wrong(replaces_host=True), "forwarded host", "takes its own pages for those of another site"),
        (Wrong(host_alone="backend.internal"), "forwarded host", "backend.internal"),
        (Wrong(claims_http=True), "forwarded scheme", "does not know that browsers use HTTPS"),
        (Wrong(hides_scheme=True), "forwarded scheme", "does not know that browsers use HTTPS"),
        (Wrong(passes_on_claims=True), "forwarded scheme", "a client can claim another scheme"),
        (Wrong(refuses_delete=True), "forwarded host", "405"),
        (Wrong(policy="drop"), "CSP", "is missing"),
        (Wrong(policy="add"), "CSP", "arrives 2 times"),
        (Wrong(policy="replace"), "CSP", "is not the one"),
        (Wrong(most_bytes=2**20), "request size", "turned down"),
        (Wrong(drops_authorization=True), "access", "the token is rejected"),
        (Wrong(status=502), "server", "does not reach Tailrace (502)"),
        (Wrong(status=302, location="https://login.example/"), "server", "https://login.example/"),
        (Wrong(status=200), "server", "not by Tailrace"),
    ],
    ids=lambda value: "",
)
async def test_what_a_proxy_does_wrong_is_found(
    wrong: Wrong, check: str, words: str, protected: LiveServer, tmp_path: Path
) -> None:
    """With what to do about it; and nothing that is right is blamed."""
    async with behind(protected, tmp_path, wrong) as (url, ca):
        findings = await visited(url, ca, seconds=2.5 if wrong.gathers else 1.5)
    found = [finding for finding in findings if finding.check == check and words in finding.text]
    assert found, [f"{finding.check}: {finding.text}" for finding in findings]
    assert all(finding.mend for finding in found)
    blamed = {name for name, _ in wrongs(findings)}
    assert blamed <= ({"access", "stream", "forwarded host"} if wrong.drops_authorization else {check})


async def test_a_version_is_only_noted(protected: LiveServer, tmp_path: Path) -> None:
    """It is no fault."""
    async with behind(protected, tmp_path, Wrong(tells_version=True)) as (url, ca):
        findings = await visited(url, ca)
    assert wrongs(findings) == []
    assert any("proxy/1.2.3" in finding.text for finding in findings)


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[URL]:
    """A server that answers everything with these bytes."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # one connection is made and closed
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        yield URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


HEAD = b"HTTP/1.1 200 OK\r\nServer: 1\x1b[31m\xff\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b'{"status":"ok"}',
        HEAD + b"[" * 10_000 + b'"status"',
        b"HTTP/1.1 \x1b[31m" + b"x" * 4000 + b"\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /\xff" + b"x" * 4000 + b"\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["odd header", "nested", "status line", "long address"],
)
async def test_odd_answers_are_quoted_fit_for_a_terminal(answer: bytes) -> None:
    """On a line of bounded length, without what a terminal obeys; as JSON, too."""
    async with saying(answer) as url:
        findings = await visited(url, None, seconds=0.2)
    assert findings
    for finding in findings:
        assert as_text(finding).replace("\n", "").isprintable()
        assert len(finding.text) < 1000
    assert json.loads(as_json(findings))


async def test_a_user_header_of_strangers_is_found(tmp_path: Path) -> None:
    """In the mode `proxy` whoever can send the header is let in as anybody."""
    (tmp_path / "data").mkdir()
    async with serve(tmp_path / "data", auth="proxy", trusted_proxies=("127.0.0.1",)) as server:
        async with behind(server, tmp_path, Wrong(passes_on_claims=True)) as (url, ca):
            findings = await visited(url, ca, token=None)
        assert any(finding.check == "access" and "as anybody" in finding.text for finding in findings)
        async with behind(server, tmp_path, Wrong()) as (url, ca):
            findings = await visited(url, ca, token=None)
        assert not any("as anybody" in finding.text for finding in findings)


async def test_a_name_that_is_not_allowed_is_found(protected: LiveServer, tmp_path: Path) -> None:
    """With the setting to make."""
    async with behind(protected, tmp_path, Wrong(host_alone="backend.internal")) as (url, ca):
        findings = await visited(url, ca)
    [found] = [finding for finding in findings if finding.check == "forwarded host"]
    assert "backend.internal" in found.text
    assert "$http_host" in found.mend


async def test_without_a_token_it_says_what_was_not_checked(protected: LiveServer, tmp_path: Path) -> None:
    """The stream is the one thing that a stranger cannot look at."""
    async with behind(protected, tmp_path, Wrong()) as (url, ca):
        findings = await visited(url, ca, token=None)
    assert wrongs(findings) == [("stream", "problem")]


async def test_a_wrong_token_is_told_and_never_shown(protected: LiveServer, tmp_path: Path) -> None:
    """Nor is the right one."""
    async with behind(protected, tmp_path, Wrong()) as (url, ca):
        wrong = await visited(url, ca, token="not-the-token-of-this-server")
        right = await visited(url, ca)
    assert ("access", "problem") in wrongs(wrong)
    shown = "".join(finding.text + finding.mend for finding in [*wrong, *right])
    assert TOKEN not in shown
    assert "not-the-token" not in shown


async def test_a_token_is_not_sent_to_whoever_has_no_valid_certificate(
    protected: LiveServer, tmp_path: Path
) -> None:
    """The certificate is told, the rest is checked without the token."""
    async with behind(protected, tmp_path, Wrong()) as (url, _):
        findings = await visited(url, None)
    assert ("certificate", "problem") in wrongs(findings)
    assert any("no token was sent" in finding.text for finding in findings)


async def test_a_sign_on_of_the_proxy(tmp_path: Path) -> None:
    """Without what it asks for, the finding says so; with it everything is checked."""
    (tmp_path / "data").mkdir()
    async with (
        serve(tmp_path / "data", auth="proxy", trusted_proxies=("127.0.0.1",), heartbeat=0.5) as server,
        behind(server, tmp_path, Wrong(signs_on=True, user="anna")) as (url, ca),
    ):
        assert wrongs(await visited(url, ca, token=None)) == [("server", "problem")]
        own = {"Cookie": "signed=on"}
        checks = visit.check(url, token=None, seconds=1.5, cafile=ca, user_header=USER, own=own)
        assert wrongs([finding async for finding in checks]) == []


async def test_nothing_is_left_behind(protected: LiveServer, tmp_path: Path) -> None:
    """No chat, no stream, no viewer."""
    async with behind(protected, tmp_path, Wrong()) as (url, ca):
        await visited(url, ca)
    assert (await protected.client.get("/api/sessions"))["sessions"] == []
    assert protected.registry.statistics().viewers == 0


async def test_an_address_where_nobody_is(unused_tcp_port: int) -> None:
    """One finding, that says so."""
    [finding] = await visited(URL(f"http://127.0.0.1:{unused_tcp_port}/"), None)
    assert (finding.check, finding.level) == ("connection", Level.PROBLEM)


async def test_this_machine_alone_needs_neither_tls_nor_a_token(tmp_path: Path) -> None:
    """A server as `make run` starts it is fine."""
    async with serve(tmp_path, heartbeat=0.5) as server:
        findings = await visited(URL(server.url + "/"), None, token=None)
    assert [finding for finding in findings if finding.level is Level.PROBLEM] == []
