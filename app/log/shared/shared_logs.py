"""The shared logs of a node, all over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import hiredis

from app.chat.errors import Fenced
from app.chat.ports import Logger
from app.chat.states import Outcome
from app.log.answer_view import AnswerView
from app.log.entries import End
from app.log.shared.address import Address
from app.log.shared.errors import LogUnavailable
from app.log.shared.link import Link
from app.log.shared.mirror import Mirror
from app.log.shared.records import MARKER, Marker, Place, encode_marker
from app.log.shared.shared_log import GREATER, Measures, SharedLog, expiry, newest_of
from app.log.shared.wire import Reply

PATIENCE = 10.0  # s without Redis, after which what is not acknowledged is shown all the same; more than a node's TTL
PAGE = 1000  # entries that are read at a time


def key_of(session_id: str) -> str:
    """Return the key of a session's stream. The braces keep all keys of a session on one server of a Redis Cluster."""
    return f"tailrace:{{{session_id}}}:log"


class SharedLogs:
    """Opens the logs of the sessions that this node owns, and keeps them until they are dropped.

    `on_fenced` is called with the id of a session that another node writes.
    """

    def __init__(
        self,
        url: str,
        *,
        max_bytes: int,
        seconds: float,
        logger: Logger,
        on_fenced: Callable[[str], None],
        patience: float = PATIENCE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """`max_bytes` and `seconds` bound each log, as in `Bounds`. Raises `UnfitRedis` for a URL that is none."""
        self.measures = Measures()
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._logger = logger
        self._on_fenced = on_fenced
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._clock = clock if clock is not None else self._loop.time
        self._logs: dict[str, SharedLog] = {}
        self._away: asyncio.TimerHandle | None = None
        self._link = Link(Address.parse(url), logger=logger, up=self._up, down=self._down)

    def __repr__(self) -> str:
        return f"<SharedLogs {len(self._logs)} {self._link!r}>"

    def __iter__(self) -> Iterator[SharedLog]:
        return iter(tuple(self._logs.values()))

    @property
    def trouble(self) -> str:
        """Why Redis cannot be used; "" if it can."""
        return self._link.trouble

    async def start(self) -> None:
        """Connect. Raises `UnfitRedis` with a sentence if Redis is out of reach or set up wrong."""
        await self._link.start()

    async def close(self) -> None:
        """Disconnect for good, after what is written was shown or `LogUnavailable` is sure. Bounded."""
        if self._away is not None:
            self._away.cancel()
        waiting = [self._loop.create_task(log.shown()) for log in self]
        if waiting and not self.trouble:
            await asyncio.wait(waiting, timeout=1.0)
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
        for log in self:
            log.fence_off()
        self._logs.clear()
        await self._link.close()

    async def ask(self, *words: str | bytes | int) -> Reply:
        """Send a command, such as a hint to other nodes, and return its reply. Raises as `Link.ask` does."""
        return await self._link.ask(*words)

    # ---- logs ------------------------------------------------------------------------------------------------

    def find(self, session_id: str) -> SharedLog | None:
        """Return the log of a session that this node has opened."""
        return self._logs.get(session_id)

    def drop(self, session_id: str) -> None:
        """The session is not this node's any more. What still writes its log gets `Fenced`. Idempotent."""
        log = self._logs.pop(session_id, None)
        if log is not None:
            log.fence_off()

    async def open(self, session_id: str, epoch: int) -> SharedLog:
        """Become the owner of a session's log under `epoch`, with all that is in it.

        The marker comes first: Redis then refuses what earlier owners still send, so what is read after it is final.
        An answer that the earlier owner left unfinished gets its `end`, and its text is in `inherited`.
        Raises `LogUnavailable`, and `Fenced` if a later owner was there before.
        """
        known = self._logs.get(session_id)
        if known is not None and known.epoch == epoch:
            return known
        self.drop(session_id)
        connection = self._link.connections
        mirror = await self._replayed(key_of(session_id), epoch)
        if self.trouble or connection != self._link.connections:
            raise LogUnavailable("The connection to Redis broke while a log was read. Try again in a moment.")
        log = SharedLog(
            key_of(session_id),
            mirror,
            self._link,
            max_bytes=self._max_bytes,
            seconds=self._seconds,
            patience=self._patience,
            clock=self._clock,
            logger=self._logger,
            measures=self.measures,
            on_fenced=lambda: self._fenced(session_id, log),
        )
        self._logs[session_id] = log
        if mirror.answer is not None:
            log.inherited = mirror.answer
            await log.append(0, interrupted(mirror.answer))
        return log

    async def _replayed(self, key: str, epoch: int) -> Mirror:
        mirror = Mirror(epoch, max_bytes=self._max_bytes, clock=self._clock)
        try:
            newest = newest_of(await self._link.ask("XINFO", "STREAM", key))
        except hiredis.ReplyError as error:
            newest = newest_of(error)
        if isinstance(newest, Exception):
            raise LogUnavailable(f"Redis keeps something else under {key}: {newest}") from newest
        if newest is None or newest.epoch < epoch:
            await self._mark(key, epoch)
        elif newest.epoch > epoch:
            raise Fenced(f"epoch {epoch} of {key} is older than {newest.epoch}")
        await self._link.ask("EXPIRE", key, expiry(self._seconds))
        start = "-"
        while True:
            page = await self._link.ask("XRANGE", key, start, "+", "COUNT", PAGE)
            for place, fields in page:
                mirror.replay(Place.parse(place), fields[0], fields[1])
            if len(page) < PAGE:
                break
            start = f"({page[-1][0].decode()}"
        mirror.replayed(newest)
        return mirror

    async def _mark(self, key: str, epoch: int) -> None:
        try:
            await self._link.ask("XADD", key, f"{epoch}-0", MARKER, encode_marker(Marker()))
        except hiredis.ReplyError as error:
            if GREATER in str(error):
                raise Fenced(f"epoch {epoch} of {key} is not the newest") from error
            raise LogUnavailable(f"Redis refuses to write {key}: {error}") from error

    def _fenced(self, session_id: str, log: SharedLog) -> None:
        self._logger.warning("shared_log_fenced", session=session_id, epoch=log.epoch)
        if self._logs.get(session_id) is log:
            del self._logs[session_id]
        self._on_fenced(session_id)

    # ---- the connection --------------------------------------------------------------------------------------

    def _up(self) -> None:
        if self._away is not None:
            self._away.cancel()
            self._away = None
        for log in self:
            log.link_back()

    def _down(self, _reason: str) -> None:
        for log in self:
            log.link_lost()
        if self._away is None:
            self._away = self._loop.call_later(self._patience, self._detach)

    def _detach(self) -> None:
        """Redis has been away for too long to keep viewers waiting."""
        self._away = None
        self._logger.warning("shared_logs_detached", logs=len(self._logs), reason=self.trouble)
        for log in self:
            log.detach()


def interrupted(answer: AnswerView) -> End:
    """Return the `end` of an answer whose owner is gone."""
    return End(
        stream_id=answer.stream_id,
        outcome=Outcome.INTERRUPTED,
        finish_reason=None,
        tokens=answer.tokens,
        duration_ms=0,
        ttft_ms=None,
        upstream_closed=False,
        message_id=answer.message_id,
    )
