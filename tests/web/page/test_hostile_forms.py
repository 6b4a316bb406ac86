"""Forms that no browser sends: each is refused in a sentence, or does what it asks for; none is a 500."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from tests.support.server import LiveServer, serve
from tests.web.stage import Stage

pytestmark = pytest.mark.slow

MULTIPART = "multipart/form-data; boundary=x"
TOKEN = "a-token-that-is-long-enough"
ENDPOINTS = {
    "prompt": "/api/sessions/s1/streams",
    "rename": "/sessions/s1/rename",
    "import": "/api/sessions/import",
    "preferences": "/preferences",
    "refresh": "/sessions/s1/refresh",
    "login": "/login",
}
ROUNDS = 60
SCRAPS = (
    b"",
    b"\r\n",
    b"\n",
    b"--x",
    b"--x--",
    b"\0",
    b"\xff",
    b";",
    b'"',
    b"=",
    b"*",
    b":",
    b"charset=",
    b" " * 9000,
)
NAMED = b'Content-Disposition: form-data; name="prompt"'


def part(*headers: bytes, body: bytes = b"hello") -> bytes:
    """Return a part of a multipart body."""
    return b"\r\n".join([b"--x", *headers, b"", body, b""])


def whole(*parts: bytes) -> bytes:
    """Return a multipart body."""
    return b"".join(parts) + b"--x--\r\n"


BODIES = {
    "empty": b"",
    "no boundary": b"hello",
    "only the end": b"--x--\r\n",
    "cut after a head": b"--x\r\n" + NAMED + b"\r\n\r\n",
    "cut in a head": b"--x\r\nContent-Dispo",
    "no end": part(NAMED),
    "no name": whole(part(b"Content-Disposition: form-data")),
    "no disposition": whole(part(b"Content-Type: text/plain")),
    "no header": whole(part()),
    "broken disposition": whole(part(b'Content-Disposition: form-data; name="prompt')),
    "two names": whole(part(b"Content-Disposition: form-data; name=a; name=b")),
    "a name in another charset": whole(part(b"Content-Disposition: form-data; name*=nonsense''prompt")),
    "a name in bytes": whole(part(b'Content-Disposition: form-data; name="\xff\xfe"')),
    "a header without a colon": whole(part(b"Content-Disposition")),
    "a header that goes on": whole(part(NAMED, b" ; filename=x")),
    "a long header": whole(part(NAMED + b"; x=" + b"a" * 20_000)),
    "many headers": whole(part(NAMED, *[b"X-%d: y" % number for number in range(500)])),
    "an unknown transfer encoding": whole(part(NAMED, b"Content-Transfer-Encoding: nonsense")),
    "base64 that is none": whole(part(NAMED, b"Content-Transfer-Encoding: base64", body=b"=a=")),
    "a compressed part": whole(part(NAMED, b"Content-Encoding: gzip")),
    "an unknown content encoding": whole(part(NAMED, b"Content-Encoding: nonsense")),
    "a part with a length": whole(part(NAMED, b"Content-Length: 99999")),
    "an unknown charset": whole(part(NAMED, b"Content-Type: text/plain; charset=nonsense")),
    "a charset that is no text": whole(part(NAMED, b"Content-Type: text/plain; charset=zlib")),
    "lone surrogates": whole(
        part(NAMED, b"Content-Type: text/plain; charset=unicode_escape", body=rb"a\ud800b")
    ),
    "a default charset": whole(part(NAMED.replace(b"prompt", b"_charset_"), body=b"nonsense"), part(NAMED)),
    "a long default charset": whole(
        part(NAMED.replace(b"prompt", b"_charset_"), body=b"x" * 99), part(NAMED)
    ),
    "not UTF-8": whole(part(NAMED, body=b"\xff\xfe")),
    "NUL": whole(part(NAMED, body=b"a\0b")),
    "bytes": whole(part(NAMED, b"Content-Type: application/octet-stream")),
    "nested": whole(part(NAMED, b"Content-Type: multipart/mixed; boundary=y", body=b"--y\r\n\r\nz\r\n--y--")),
    "nested without a boundary": whole(part(NAMED, b"Content-Type: multipart/mixed")),
    "a thousand fields": whole(*[part(NAMED)] * 1000),
    "a file for a text": whole(part(NAMED + b'; filename="a"')),
    "text for a file": whole(part(b'Content-Disposition: form-data; name="file"')),
}
TYPES = {
    "no boundary": "multipart/form-data",
    "an empty boundary": 'multipart/form-data; boundary=""',
    "a long boundary": "multipart/form-data; boundary=" + "x" * 71,
    "another charset": "application/x-www-form-urlencoded; charset=utf-7",
    "an unknown charset": "application/x-www-form-urlencoded; charset=nonsense",
    "a charset that is no text": "application/x-www-form-urlencoded; charset=hex",
    "surrogates": "application/x-www-form-urlencoded; charset=unicode_escape",
    "another multipart": "multipart/mixed; boundary=x",
    "nonsense": "multipart/form-data;;;=;boundary",
}


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server with a login."""
    async with serve(tmp_path / "locked", access_token=TOKEN) as live:
        yield live


async def status(stage: Stage, locked: LiveServer, name: str, content_type: str, body: bytes) -> int:
    """Send a form; return the status of the response."""
    http = locked.client.http if name == "login" else stage.http
    headers = {"Content-Type": content_type, "Accept": "text/html"}
    async with http.post(ENDPOINTS[name], data=body, headers=headers, allow_redirects=False) as response:
        assert "Traceback" not in await response.text()
        return response.status


def wrong(found: dict[str, int]) -> dict[str, int]:
    """Return the cases that the server takes for a fault of its own."""
    return {case: status for case, status in found.items() if status >= 500}


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_hostile_multipart_forms(stage: Stage, locked: LiveServer, name: str) -> None:
    """A 4xx, or what the form asks for."""
    await stage.answer("s1", "hello", "Hi")
    found = {case: await status(stage, locked, name, MULTIPART, body) for case, body in BODIES.items()}
    assert wrong(found) == {}


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_hostile_content_types(stage: Stage, locked: LiveServer, name: str) -> None:
    """The same."""
    await stage.answer("s1", "hello", "Hi")
    fields = rb"prompt=a\ud800b&title=\udfff&next=%ff&token=\ud800"
    for body in (whole(part(NAMED)), fields):
        found = {case: await status(stage, locked, name, kind, body) for case, kind in TYPES.items()}
        assert wrong(found) == {}


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_forms_with_bytes_changed_at_random(stage: Stage, locked: LiveServer, name: str) -> None:
    """Wherever a form is cut, and whatever is put into it."""
    await stage.answer("s1", "hello", "Hi")
    random = Random(name)
    found = {}
    for number in range(ROUNDS):
        parts = random.sample(sorted(BODIES.values()), 2)
        body = bytearray(whole(*[one.removesuffix(b"--x--\r\n") for one in parts]))
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(len(body) + 1)
            body[at : at + random.randrange(30)] = random.choice(SCRAPS)
        found[f"{number}: {bytes(body)!r}"] = await status(stage, locked, name, MULTIPART, bytes(body))
    assert wrong(found) == {}


async def test_a_refused_form_says_so(stage: Stage) -> None:
    """In a page; nothing is registered."""
    for case in ("cut after a head", "cut in a head", "not UTF-8", "a thousand fields"):
        headers = {"Content-Type": MULTIPART}
        async with stage.http.post(ENDPOINTS["prompt"], data=BODIES[case], headers=headers) as response:
            assert (response.status, response.content_type) == (400, "text/html")
            assert "Couldn" in await response.text()
    assert stage.registry.statistics().started == 0
