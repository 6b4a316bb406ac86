"""Access tokens for tests, made as a command line makes them: beside the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from app.chat.tokens import Token, TokenStore
from app.history.opening import tokens_beside
from app.tokens import new_token
from app.web.security.token_watch import POLL_SECONDS
from tests.support.client import Client
from tests.support.recorder import Recorder
from tests.support.waiting import BOUND


@asynccontextmanager
async def store_of(folder: Path) -> AsyncIterator[TokenStore]:
    """The tokens in a data folder."""
    async with tokens_beside(None, folder, logger=Recorder()) as store:
        yield store


async def add(
    folder: Path, name: str, *, is_admin: bool = False, days: int | None = None, at: float | None = None
) -> str:
    """Make a token, at a time in seconds since the epoch; return it."""
    now = None if at is None else datetime.fromtimestamp(at, UTC)
    text, token = new_token(name, is_admin=is_admin, days=days, now=now)
    async with store_of(folder) as store:
        await store.put(token)
    return text


async def revoke(folder: Path, name: str) -> None:
    """Revoke a token."""
    async with store_of(folder) as store:
        assert await store.revoke(name)


async def stored(folder: Path, name: str) -> Token:
    """Return a token as it is stored."""
    async with store_of(folder) as store:
        return next(token for token in (await store.known()).tokens if token.name == name)


def bearer(token: str) -> dict[str, str]:
    """Return the header of a request with a token."""
    return {"Authorization": f"Bearer {token}"}


async def sign_in(client: Client, token: str, **headers: str) -> str:
    """Sign in through the login page; return the cookie as a header has it."""
    sent = {"Accept": "text/html", **headers}
    async with client.http.post(
        "/login", data={"token": token}, headers=sent, allow_redirects=False
    ) as response:
        assert response.status == 303, await response.text()
        return response.headers["Set-Cookie"].split(";")[0]


async def known(client: Client, headers: dict[str, str], status: int = 200) -> None:
    """Return once the server answers requests with these headers so: it takes note within a second.

    It is asked a few times only, because a token that is not known yet counts as a wrong one.
    """
    async with asyncio.timeout(BOUND):
        while True:
            async with client.http.get("/api/sessions", headers=headers) as response:
                if response.status == status:
                    return
            await asyncio.sleep(POLL_SECONDS / 2)
