"""The mode `tokens`: named tokens, browsers that are signed in with them, and what ends when they end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.chat.tokens import SignIn
from app.tokens import parsed
from app.web.security import token_watch
from app.web.security.sign_in_cookie import SignInCookie
from tests.support.client import Client
from tests.support.server import serve
from tests.support.tokens import add, bearer, known, revoke, sign_in, store_of, stored
from tests.web.stage import JSON, NDJSON, SSE, Stage, on_stage, problem

HTML = {"Accept": "text/html"}
PLAIN = "tailrace_plain=1"  # the page of a browser that runs no scripts
DAY = 86_400.0
BOUND = 10.0  # s; twice 2 s and more, for a busy machine


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A server for whoever has a token."""
    async with on_stage(tmp_path, auth="tokens") as stage:
        yield stage


@asynccontextmanager
async def looking_on(
    client: Client, headers: dict[str, str], *, admin: bool = False
) -> AsyncIterator[list[aiohttp.ClientResponse]]:
    """Open each kind of response that goes on. The session `s1` has an answer in progress."""
    async with client.http.get("/api/sessions/s1", headers=headers) as response:
        session = await response.json()
    stream = session["running"]
    cookies = "; ".join(filter(None, (headers.get("Cookie"), PLAIN)))
    asked = [
        ("/api/sessions/s1/events", {"Accept": SSE}),
        ("/api/sessions/not-yet/events", {"Accept": SSE}),
        (f"/api/streams/{stream}/events", {"Accept": SSE}),
        (f"/events?watch=s1:{session['cursor']}&watch=later:new", {"Accept": SSE}),
        ("/sessions/s1", {**HTML, "Cookie": cookies}),
        *([("/ops/events", {"Accept": SSE})] if admin else []),
    ]
    async with AsyncExitStack() as stack:
        responses = [
            await stack.enter_async_context(client.http.get(path, headers={**headers, **more}))
            for path, more in asked
        ]
        posted = client.http.post(
            "/api/sessions/s2/streams", json={"prompt": "wait"}, headers={**headers, "Accept": NDJSON}
        )
        responses.append(await stack.enter_async_context(posted))
        for response in responses:
            assert response.status in (200, 201), (response.url, await response.text())
            await response.content.readany()  # it is open
        yield responses


async def end_of(responses: list[aiohttp.ClientResponse]) -> None:
    """Return once all responses have ended."""

    async def read(response: aiohttp.ClientResponse) -> None:
        try:
            while await response.content.readany():
                pass
        except aiohttp.ClientError:
            pass  # cut short, which is an end as well

    async with asyncio.timeout(BOUND):
        await asyncio.gather(*map(read, responses))


async def begun(stage: Stage, headers: dict[str, str]) -> None:
    """Let an answer begin in `s1` that does not end by itself."""
    async with stage.http.post(
        "/api/sessions/s1/streams", json={"prompt": "begin"}, headers=headers
    ) as response:
        assert response.status == 201
    (await stage.asked("begin")).say("so far")


@pytest.mark.slow
async def test_a_named_token_lets_its_owner_in(stage: Stage, tmp_path: Path) -> None:
    """As a bearer token or by signing in; each name has chats of its own."""
    alice, bob = bearer(await add(tmp_path, "alice")), bearer(await add(tmp_path, "bob"))
    await known(stage.client, bob)
    for headers in (alice, {"Cookie": await sign_in(stage.client, alice["Authorization"].split()[1])}):
        async with stage.http.post(
            "/api/sessions/s1/streams", json={"prompt": "x", "model": "scripted/short"}, headers=headers
        ) as response:
            assert response.status == 201
        async with stage.http.get("/api/sessions", headers=headers) as response:
            assert [each["session_id"] for each in (await response.json())["sessions"]] == ["s1"]
    async with stage.http.get("/api/sessions/s1", headers=bob) as response:
        await problem(response, 404, "session_not_found")


@pytest.mark.slow
async def test_a_changed_token_lets_nobody_in(stage: Stage, tmp_path: Path) -> None:
    """Neither with another secret nor with another id, nor in another case."""
    token = await add(tmp_path, "alice")
    await known(stage.client, bearer(token))
    name, token_id, secret = token.split("_", 2)
    for wrong in (
        f"{name}_{token_id}_{secret[::-1]}",
        f"{name}_{'0' * 16}_{secret}",
        token.swapcase(),
        token[:-1],
        f"{token}x",
        f"{token} x",
    ):
        async with stage.http.get("/api/sessions", headers=bearer(wrong)) as response:
            await problem(response, 401, "access_token_required")
            assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.slow
async def test_operations_are_for_admins(stage: Stage, tmp_path: Path) -> None:
    """The flag of a token; to others those addresses do not exist."""
    admin, other = await add(tmp_path, "root", is_admin=True), await add(tmp_path, "alice")
    await known(stage.client, bearer(other))
    for path in ("/metrics", "/ops"):
        async with stage.http.get(path, headers=bearer(admin)) as response:
            assert response.status == 200
        for headers in (bearer(other), {**bearer(other), **HTML}):
            async with stage.http.get(path, headers=headers) as response:
                assert response.status == 404
        async with stage.http.get(path, headers={"Accept": JSON}) as response:
            await problem(response, 401, "access_token_required")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["revoked", "replaced", "expired"])
@pytest.mark.parametrize("by", ["bearer", "cookie"])
async def test_what_is_open_ends_with_the_token(tmp_path: Path, way: str, by: str) -> None:
    """Every kind of response; nobody else's, and the chats stay."""
    late = 0.0
    async with on_stage(tmp_path, now=lambda: time.time() + late, auth="tokens") as stage:
        token = await add(tmp_path, "root", is_admin=True, days=1)
        other = bearer(await add(tmp_path, "bob"))
        await known(stage.client, bearer(token))
        await known(stage.client, other)
        headers = bearer(token) if by == "bearer" else {"Cookie": await sign_in(stage.client, token)}
        await begun(stage, headers)
        async with (
            stage.http.get("/api/sessions/s1/events", headers=other) as bystander,
            looking_on(stage.client, headers, admin=True) as responses,
        ):
            await bystander.content.readany()
            if way == "revoked":
                await revoke(tmp_path, "root")
            elif way == "replaced":
                token = await add(tmp_path, "root", is_admin=True)
            else:
                late = DAY + 1
            await end_of(responses)
            assert not bystander.content.at_eof()
        async with stage.http.get("/api/sessions/s1", headers=headers) as response:
            await problem(response, 401, "access_token_required")
        async with stage.http.get("/", headers={**headers, **HTML}, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/login?next=/")
        if way == "replaced":
            async with stage.http.get("/api/sessions/s1", headers=bearer(token)) as response:
                assert response.status == 200


@pytest.mark.slow
async def test_signing_out_ends_that_sign_in(stage: Stage, tmp_path: Path) -> None:
    """A copy of its cookie is void and its open responses end; another browser with the same token stays in."""
    token = await add(tmp_path, "alice")
    await known(stage.client, bearer(token))
    mine = {"Cookie": await sign_in(stage.client, token)}
    other = {"Cookie": await sign_in(stage.client, token)}
    await begun(stage, mine)
    async with (
        stage.http.get("/api/sessions/s1/events", headers=other) as bystander,
        looking_on(stage.client, mine) as responses,
    ):
        await bystander.content.readany()
        async with stage.http.post("/logout", headers=mine, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/login")
        await end_of(responses)
        assert not bystander.content.at_eof()
    for headers, status in ((mine, 401), (other, 200), (bearer(token), 200)):
        async with stage.http.get("/api/sessions", headers=headers) as response:
            assert response.status == status


async def test_a_sign_in_outlives_a_restart_and_a_sign_out_does_too(tmp_path: Path) -> None:
    """Both are stored; signing in anew ends the sign-in before."""
    token = await add(tmp_path, "alice")
    async with serve(tmp_path, auth="tokens") as live:
        kept = await sign_in(live.client, token)
        left = await sign_in(live.client, token)
        replaced = await sign_in(live.client, token)
        await sign_in(live.client, token, Cookie=replaced)
        async with live.client.http.post("/logout", headers={"Cookie": left}):
            pass
    async with serve(tmp_path, auth="tokens") as live:
        for cookie, status in ((kept, 200), (left, 401), (replaced, 401)):
            async with live.client.http.get("/api/sessions", headers={"Cookie": cookie}) as response:
                assert response.status == status


@pytest.mark.parametrize(
    ("headers", "settings", "name", "attributes"),
    [
        ({"X-Forwarded-Proto": "https"}, {}, "__Host-tailrace_access", {"path=/", "secure"}),
        ({}, {}, "tailrace_access", {"path=/"}),
        ({"X-Forwarded-Proto": "https"}, {"base_path": "/chat"}, "tailrace_access", {"path=/chat", "secure"}),
    ],
)
async def test_the_cookie_is_bound_to_this_host(
    tmp_path: Path, headers: dict[str, str], settings: dict[str, Any], name: str, attributes: set[str]
) -> None:
    """By its prefix where browsers accept that: behind TLS, for the path `/`."""
    token = await add(tmp_path, "alice")
    async with serve(tmp_path, auth="tokens", **settings) as live:
        async with live.client.http.post(
            "/login", data={"token": token}, headers=headers, allow_redirects=False
        ) as response:
            first, *others = (part.strip() for part in response.headers["Set-Cookie"].split(";"))
        assert first.split("=")[0] == name
        said = {part.lower() for part in others}
        assert {"httponly", "samesite=lax", *attributes} <= said
        assert ("secure" in said) is ("secure" in attributes)
        assert not [part for part in said if part.startswith("domain")]
        sent = {**headers, "Cookie": first}
        async with live.client.http.get("/api/sessions", headers=sent) as response:
            assert response.status == 200
        if name.startswith("__Host-"):
            plain = {**headers, "Cookie": first.removeprefix("__Host-")}
            async with live.client.http.get("/api/sessions", headers=plain) as response:
                assert response.status == 401, "a sibling domain can set that name"


@pytest.mark.slow
async def test_a_tossed_cookie_does_not_lock_out(stage: Stage, tmp_path: Path) -> None:
    """Another page on this host may set the same name; ours is found among them."""
    token = await add(tmp_path, "alice")
    await known(stage.client, bearer(token))
    cookie = await sign_in(stage.client, token)
    others = f"tailrace_access={'x' * 60}; " * 7
    for sent in (f"tailrace_access=x; {cookie}", f"{cookie}; tailrace_access=x.y.z", others + cookie):
        async with stage.http.get("/api/sessions", headers={"Cookie": sent}) as response:
            assert response.status == 200


@pytest.mark.slow
async def test_the_last_use_is_stored(stage: Stage, tmp_path: Path) -> None:
    """Soon after the first use, and not again with each further one."""
    token = await add(tmp_path, "alice")
    assert (await stored(tmp_path, "alice")).used_at is None
    await known(stage.client, bearer(token))
    first = None
    async with asyncio.timeout(BOUND):
        while first is None:
            await asyncio.sleep(0.05)
            first = (await stored(tmp_path, "alice")).used_at
    async with stage.http.get("/api/sessions", headers=bearer(token)) as response:
        assert response.status == 200
    # The next look has passed once a further token is known.
    await known(stage.client, bearer(await add(tmp_path, "bob")))
    await known(stage.client, bearer(await add(tmp_path, "carol")))
    assert (await stored(tmp_path, "alice")).used_at == first


async def test_a_browser_signed_in_by_another_server_is_known_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It need not wait for the next look at the store; the cookie says that it is new."""
    token = await add(tmp_path, "alice")
    monkeypatch.setattr(token_watch, "POLL_SECONDS", 3600.0)
    async with serve(tmp_path, auth="tokens") as live, store_of(tmp_path) as store:
        presented = parsed(token)
        assert presented is not None
        now = datetime.now(UTC)
        await store.sign_in(SignIn("elsewhere", presented.token_id, now), since=now, most=9)
        cookie = SignInCookie((tmp_path / "secret.key").read_bytes())
        for sign_in_id, status in (("elsewhere", 200), ("nowhere", 401)):
            headers = {"Cookie": f"tailrace_access={cookie.value(sign_in_id)}"}
            async with live.client.http.get("/api/sessions", headers=headers) as response:
                assert response.status == status


async def test_without_a_token_nobody_is_let_in(stage: Stage) -> None:
    """A server without tokens answers that of its health, and the login page."""
    for path, status in (
        ("/api/sessions", 401),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/servez", 200),
        ("/login", 200),
    ):
        async with stage.http.get(path) as response:
            assert response.status == status
    async with stage.http.post("/login", data={"token": ""}, headers=HTML) as response:
        assert response.status == 403


@pytest.mark.slow
async def test_the_access_token_is_one_of_them(tmp_path: Path) -> None:
    """Its owner is `local`, an admin; named tokens work beside it."""
    only = "plum-9f3c71d2a8e4b605"
    token = await add(tmp_path, "alice")
    async with serve(tmp_path, access_token=only) as live:
        for headers, status in ((bearer(only), 200), (bearer(token), 404)):
            async with live.client.http.get("/metrics", headers=headers) as response:
                assert response.status == status
        cookie = {"Cookie": await sign_in(live.client, only)}
        await revoke(tmp_path, "alice")
        await known(live.client, bearer(token), 401)
        async with live.client.http.get("/metrics", headers=cookie) as response:
            assert response.status == 200
