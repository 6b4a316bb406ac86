"""After a start of the server: continues the answers that its last shutdown or crash interrupted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence, Set
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from app.chat.errors import HistoryUnavailable, Limited, NoModels, Refused, TooManyStreams
from app.chat.ports import Catalog, Logger
from app.chat.records import Interrupted
from app.chat.submission import Submission
from app.streams.registry import Registry

FRESH = timedelta(hours=1)  # after that the user is unlikely to be waiting still
TRIES = 3  # per answer, so that a prompt that crashes the server is not retried for ever
# Seconds before each round. There are several because a model server may start later than we do, and because the
# interrupted answers may outnumber the free slots.
PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 60.0)


class AutoContinue:
    """Registers a continuation for each interrupted answer. `running` owns the task in which it does so.

    In a cluster, `claim` tells whether a session is this node's, and `sessions` which are looked at; `None`: all.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        catalog: Catalog,
        logger: Logger,
        pauses: Sequence[float] = PAUSES,
        now: Callable[[], float] = time.time,
        claim: Callable[[str], Awaitable[bool]] | None = None,
        sessions: Collection[str] | None = None,
    ) -> None:
        self._claim = claim
        self._sessions = sessions
        self._registry = registry
        self._catalog = catalog
        self._logger = logger
        self._pauses = pauses
        self._now = now
        self._taken = 0

    def __repr__(self) -> str:
        return f"<AutoContinue taken={self._taken}>"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Continue interrupted answers in the background; the task is cancelled when the block ends."""
        task = asyncio.get_running_loop().create_task(self.run(), name="auto continue")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()) is not None:
                self._logger.error("taking_up_failed", exc_info=error)

    async def run(self) -> Set[str]:
        """Register the continuations; return once all are registered, refused, or out of retries.

        Returns the sessions that are out of retries: of those that were asked for, or in which something was found.
        """
        waiting: Sequence[Interrupted] | None = None
        for pause in self._pauses:
            await asyncio.sleep(pause)
            if waiting is None:
                waiting = await self._found()
            if waiting is None:
                continue
            if not waiting:
                break  # no model server is asked for nothing
            away = await self._away()
            waiting = [one for one in waiting if _backend(one.model) in away or not await self._settle(one)]
            if not waiting:
                break
        if self._taken or waiting:
            self._logger.info("answers_taken_up", taken=self._taken, left=len(waiting or ()))
        if waiting is None:  # the history did not say
            return frozenset(self._sessions or ())
        return {one.session_id for one in waiting}

    async def _found(self) -> Sequence[Interrupted] | None:
        since = datetime.fromtimestamp(self._now(), UTC) - FRESH
        try:
            return await self._registry.history.interrupted(
                since=since,
                tries=TRIES,
                limit=self._registry.bounds.max_streams,
                sessions=self._sessions,
            )
        except HistoryUnavailable:
            return None  # the history has logged it

    async def _settle(self, one: Interrupted) -> bool:
        """Try to continue the answer. Return whether this is settled: it is registered, or it never can be."""
        if self._registry.draining:
            return True
        logger = self._logger.bind(session=one.session_id)
        try:
            backend, model = await self._catalog.resolve(one.model)
            # Last, so that nothing is awaited between a claim without I/O and the registration: a stop finds either
            # the claim or the prompt.
            if self._claim is not None and not await self._claim(one.session_id):
                return True  # another node's, or its user has stopped it
            ask = Submission(
                owner=one.owner,
                session_id=one.session_id,
                continues=one.message_id,
                unasked=True,
                options=one.options,
                model=model,
                backend=backend,
                if_active="reject",  # a newer prompt of the user has priority
            )
            registered = await self._registry.register(ask)
        except (HistoryUnavailable, TooManyStreams, Limited, NoModels):
            return False
        except Refused as refusal:
            logger.info("answer_not_taken_up", reason=refusal.code)
            return True
        self._taken += 1
        logger.info("answer_taken_up", trace=registered.stream_id)
        return True

    async def _away(self) -> set[str]:
        """Return the names of the backends that are unreachable at the moment."""
        listing = await self._catalog.listing(refresh=True)
        return {away.backend for away in listing.unreachable}


def _backend(model_id: str) -> str:
    return model_id.partition("/")[0]
