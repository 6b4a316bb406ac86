"""Isolation as a matrix: every address, asked by each kind of visitor. A new address needs a row in `matrix.py`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.support.client import Client
from tests.support.server import LiveServer, serve
from tests.support.tokens import add, bearer, known, revoke
from tests.web.security.matrix import PIXEL, ROWS, Row

HTML = {"Accept": "text/html"}
SECRET = "of the secret garden"  # the owner's prompts
YEAR = 365 * 86_400


class Visitors(NamedTuple):
    """A server, with the headers of each kind of visitor."""

    live: LiveServer
    headers: dict[str, dict[str, str]]


class Thing(NamedTuple):
    """What a row is about: a session with a prompt, its image, and its answer."""

    session: str
    stream: str
    image: str


@pytest.fixture
async def visitors(tmp_path: Path) -> AsyncIterator[Visitors]:
    """A server with two owners, an admin, and those who are not let in."""
    tokens = {name: await add(tmp_path, name) for name in ("alice", "bob", "gone")}
    admin = await add(tmp_path, "root", is_admin=True)
    old = await add(tmp_path, "old", days=1, at=0.0)
    await revoke(tmp_path, "gone")
    async with serve(tmp_path, auth="tokens") as live:
        await known(live.client, bearer(tokens["alice"]))
        alice = bearer(tokens["alice"])
        yield Visitors(
            live,
            {
                "owner": alice,
                "other": bearer(tokens["bob"]),
                "admin": bearer(admin),
                "nobody": {},
                "revoked": bearer(tokens["gone"]),
                "expired": bearer(old),
                "forged": {
                    "Cookie": "tailrace_access=YWxpY2U.aSnO1A.0123456789abcdef0123456789abcdef0123456789a"
                },
                "origin": {**alice, "Origin": "https://evil.example"},
                "site": {**alice, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
                "host": {**alice, "Host": "evil.example"},
            },
        )


async def made(client: Client, headers: dict[str, str], session_id: str) -> Thing:
    """Let the owner have a session."""
    image = {"media_type": "image/png", "data": PIXEL}
    body = {"prompt": SECRET, "model": "scripted/vision", "images": [image]}
    async with client.http.post(
        f"/api/sessions/{session_id}/streams", json=body, headers={**headers, "Accept": "text/event-stream"}
    ) as response:
        assert response.status == 201
        stream = response.headers["Location"].rpartition("/")[2]
        await response.read()
    async with client.http.get(f"/api/sessions/{session_id}", headers=headers) as response:
        [shown] = (await response.json())["messages"][0]["images"]
    return Thing(session_id, stream, shown["image_id"])


class Answer(NamedTuple):
    """An answer, as far as it can be compared."""

    status: int
    body: str


async def asked(
    client: Client, route: str, row: Row, thing: Thing, headers: dict[str, str], accept: dict[str, str]
) -> Answer:
    """Ask the address of a row about something. Of a response that goes on, the first bytes count."""
    method, template = route.split(" ")
    template = row.path or template.replace("{session_id}", "{session}")
    path = template.format(**thing._asdict())
    sent: dict[str, Any] = {"json": row.json} if row.json is not None else {"data": row.form}
    async with client.http.request(
        method, path, headers={**accept, **headers}, allow_redirects=False, **sent
    ) as response:
        body = await (response.content.readany() if goes_on(response) else response.read())
        return Answer(response.status, body.decode(errors="replace"))


def goes_on(response: aiohttp.ClientResponse) -> bool:
    """Tell whether a response has no end of its own."""
    return response.content_type == "text/event-stream"


def routes(live: LiveServer) -> set[str]:
    """Return the method and path of each route."""
    found = set()
    for route in live.app.router.routes():
        assert route.resource is not None
        path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.resource.canonical)
        found.add(f"{route.method} {path}")
    return found


async def test_every_route_has_a_row(visitors: Visitors) -> None:
    """A HEAD is answered as the GET is."""
    live = routes(visitors.live)
    assert {route for route in live if not route.startswith("HEAD ")} == set(ROWS)
    assert {route.replace("HEAD ", "GET ") for route in live if route.startswith("HEAD ")} <= set(ROWS)


@pytest.mark.slow
async def test_the_owner_and_an_admin_are_answered(visitors: Visitors) -> None:
    """Each row, about a session of its own."""
    client = visitors.live.client
    for number, (route, row) in enumerate(ROWS.items()):
        thing = await made(client, visitors.headers["owner"], f"row-{number}")
        who = "admin" if row.kind == "admin" else "owner"
        found = await asked(client, route, row, thing, visitors.headers[who], {})
        assert found.status == row.owner, (route, found)


@pytest.mark.slow
async def test_to_another_owner_nothing_of_it_exists(visitors: Visitors) -> None:
    """The answer about what the owner has is the same as about what nobody has, and the owner still has it."""
    client, other = visitors.live.client, visitors.headers["other"]
    for number, (route, row) in enumerate(ROWS.items()):
        theirs = await made(client, visitors.headers["owner"], f"row-{number}")
        nothing = Thing(f"now-{number}", "A" * len(theirs.stream), "B" * len(theirs.image))
        before = await owned(client, visitors, theirs)
        for accept in ({}, HTML):
            found = await asked(client, route, row, theirs, other, accept)
            free = await asked(client, route, row, nothing, other, accept)
            assert found.status == (row.other if route != "GET /static/{path}" else 200), (route, found)
            assert SECRET not in found.body, route
            assert plain(found, theirs) == plain(free, nothing), route
        assert await owned(client, visitors, theirs) == before, route


async def owned(client: Client, visitors: Visitors, thing: Thing) -> str:
    """Return what the owner sees of it."""
    async with client.http.get(
        f"/api/sessions/{thing.session}/export", headers=visitors.headers["owner"]
    ) as response:
        assert response.status == 200
        return await response.text()


def plain(answer: Answer, thing: Thing) -> Answer:
    """Return an answer without the ids and times that differ anyway."""
    if answer.status == 201:
        return Answer(201, "")  # the visitor's own stream
    body = answer.body
    for each in thing:
        body = body.replace(each, "ID")
    body = re.sub(r'"(stream_id|cursor|session_id|time|created_at|updated_at)":\s*"[^"]*"', r'"\1":""', body)
    body = re.sub(r"/api/streams/[\w-]+", "/api/streams/ID", body)
    body = re.sub(r"[0-9]{13,}-[0-9]+", "0-0", body)
    body = re.sub(r"[A-Za-z0-9_-]{16}(?=[\"/])", "ID", body)
    return Answer(answer.status, body)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["nobody", "revoked", "expired", "forged", "origin", "site", "host"])
async def test_who_may_not_come_in_gets_nothing(visitors: Visitors, who: str) -> None:
    """401 or the login page, 403 to another site, 421 under another name; the owner's things stay as they are."""
    client, headers = visitors.live.client, visitors.headers[who]
    thing = await made(client, visitors.headers["owner"], "s1")
    before = await owned(client, visitors, thing)
    for route, row in ROWS.items():
        for accept in ({}, HTML):
            found = await asked(client, route, row, thing, headers, accept)
            assert found.status in expected(route, row, who, accept), (route, accept, found)
            assert SECRET not in found.body, route
    assert await owned(client, visitors, thing) == before


def expected(route: str, row: Row, who: str, accept: dict[str, str]) -> set[int]:
    """Return the statuses that a visitor may get. Wrong tokens are answered 429 after some."""
    if row.kind == "health":
        return {200}
    if who == "host":
        return {421}
    if who in ("origin", "site"):
        return {403}
    if row.kind == "open":
        # Without access the login page is shown; a wrong bearer token counts there, too.
        return (
            {200, 429}
            if route == "GET /login"
            else {row.owner, 429}
            if route == "POST /login"
            else {row.owner}
        )
    to_login = accept == HTML and route.startswith("GET ")
    return {429, 303 if to_login else 401} if who in ("revoked", "expired") else {303 if to_login else 401}
