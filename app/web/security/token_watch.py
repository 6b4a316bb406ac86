"""Keeps the table of tokens like the store: a command line, or another server, may change that at any time."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from app.chat.errors import HistoryUnavailable
from app.chat.ports import Logger
from app.chat.tokens import SignIn, TokenStore
from app.web.security.token_table import SIGN_IN_SECONDS, TokenTable

POLL_SECONDS = 0.5  # between two looks at the store; a revoked token works that long
USE_SECONDS = 60.0  # between two writes of a token's last use
MOST_SIGN_INS = 64  # browsers signed in with one token; the oldest is signed out for a further one


class TokenWatch:
    """Reads and writes the store for a table. `running` owns the task that polls it."""

    def __init__(
        self, store: TokenStore, table: TokenTable, logger: Logger, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._table = table
        self._logger = logger
        self._now = now
        self._changes = 0  # of the table by this server: what was read before one is out of date
        self._signed_out: set[str] = set()  # sign-ins that the store may still have
        self._written: dict[str, float] = {}  # the last write of each token's use, in loop time
        self._renewing: asyncio.Task[None] | None = None
        self._is_failing = False

    def __repr__(self) -> str:
        return f"<TokenWatch {self._table!r}{' failing' if self._is_failing else ''}>"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the store, then keep up with it for the duration of the block. Raises `HistoryUnavailable`."""
        self._table.update(await self._store.known())
        task = asyncio.get_running_loop().create_task(self._poll(), name="token watch")
        try:
            yield
        finally:
            tasks = {each for each in (task, self._renewing) if each is not None}
            for each in tasks:
                each.cancel()
            await asyncio.wait(tasks)

    async def renew(self) -> None:
        """Read the store now. Concurrent callers share one read. Raises `HistoryUnavailable`."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.get_running_loop().create_task(self._read(), name="token table")
        await asyncio.shield(self._renewing)

    async def sign_in(self, token_id: str) -> SignIn:
        """Sign a browser in. Raises `HistoryUnavailable`."""
        at = datetime.fromtimestamp(self._now(), UTC)
        sign_in = SignIn(secrets.token_urlsafe(16), token_id, at)
        since = at - timedelta(seconds=SIGN_IN_SECONDS)
        await self._store.sign_in(sign_in, since=since, most=MOST_SIGN_INS)
        self._changes += 1
        self._table.sign_in(sign_in)
        return sign_in

    async def sign_out(self, sign_in_id: str) -> None:
        """Sign a browser out, here at once. If the store does not respond, it is told later."""
        self._changes += 1
        self._table.sign_out(sign_in_id)
        self._signed_out.add(sign_in_id)
        await self._attempt(self._tell_signed_out)

    # ---- polling ---------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self._table.end_expired()  # also while the store does not respond
            await self._attempt(self._look)

    async def _look(self) -> None:
        await self._tell_signed_out()
        await self._read()
        await self._tell_used()

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something with the store. The first of several failures is logged; what it was about is tried again."""
        try:
            await work()
        except HistoryUnavailable as error:
            if not self._is_failing:
                self._is_failing = True
                self._logger.error("tokens_unavailable", error=str(error))
        except Exception as error:
            self._logger.error("tokens_failed", exc_info=error)
        else:
            if self._is_failing:
                self._is_failing = False
                self._logger.info("tokens_available")

    async def _read(self) -> None:
        before = self._changes
        known = await self._store.known()
        if self._changes == before:
            left = [each for each in known.sign_ins if each.sign_in_id not in self._signed_out]
            self._table.update(known._replace(sign_ins=left))

    async def _tell_signed_out(self) -> None:
        for sign_in_id in tuple(self._signed_out):
            await self._store.sign_out(sign_in_id)
            self._signed_out.discard(sign_in_id)

    async def _tell_used(self) -> None:
        now = asyncio.get_running_loop().time()
        at = datetime.fromtimestamp(self._now(), UTC)
        for token_id in self._table.take_used():
            if now - self._written.get(token_id, -USE_SECONDS) >= USE_SECONDS:
                await self._store.used(token_id, at)
                self._written[token_id] = now
