"""The shared logs of a node, all over one connection, or one to each shard of a Redis Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Protocol, TypeVar

import hiredis

from app.chat.errors import Fenced, HistoryUnavailable, LogUnavailable
from app.chat.ports import Logger
from app.log.session_log import SessionLog
from app.log.shared.mirror import Mirror
from app.log.shared.opening import Opening
from app.log.shared.redis.address import Whereabouts
from app.log.shared.redis.link import ANSWER_SECONDS, SENTENCE, Link, Sender
from app.log.shared.redis.whereabouts import shards_of
from app.log.shared.redis.wire import ELSEWHERE, REDIRECTS, Reply
from app.log.shared.settling import Settle, append_missing
from app.log.shared.shared_log import LeaseView, Measures, SharedLog
from app.measures import QUICK, Histogram
from app.tasks.reports import report
from app.tasks.timeouts import within

PATIENCE = 10.0  # s without Redis, after which what is not acknowledged is shown all the same
NOTICE_SECONDS = 4.0  # within which a node notices that its time to live has passed
CHECK_SECONDS = 0.5  # between two looks whether the sessions of detached logs are still this node's
REDIRECTION_SECONDS = 1.0  # for a connection to another shard
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.0)  # s after each attempt for which no shard had the key

T = TypeVar("T")


class LinkMaker(Protocol):
    """Makes the connection to Redis."""

    def __call__(
        self,
        whereabouts: Whereabouts,
        /,
        *,
        logger: Logger,
        up: Callable[[], None],
        down: Callable[[str], None],
    ) -> Link:
        """See `Link`."""
        ...


def key_of(session_id: str) -> str:
    """Return the key of a session's stream. The braces keep all keys of a session on one server of a Redis Cluster."""
    return f"tailrace:{{{session_id}}}:log"


def patience_of(ttl: float) -> float:
    """Return how long a node with that time to live waits for Redis before it shows what is not acknowledged, in s.

    It is longer than the node can be cut off from PostgreSQL, too, and still take itself for the owner: another node
    may own the session by then.
    """
    return max(PATIENCE, ttl + NOTICE_SECONDS)


class AlwaysOwner:
    """The lease of a log that nobody else wants."""

    is_sure = True
    is_confirmed = True

    async def check(self) -> None:
        """See `LeaseView`."""


class SharedLogs:
    """Opens the logs of the sessions that this node owns, and keeps them until they are dropped.

    `on_fenced` is called with the id of a session that another node writes, or may write.
    """

    log = SharedLog
    opening = Opening

    def __init__(
        self,
        url: str,
        *,
        max_bytes: int,
        seconds: float,
        logger: Logger,
        on_fenced: Callable[[str], None],
        patience: float = PATIENCE,
        lease: LeaseView | None = None,
        clock: Callable[[], float] | None = None,
        link: LinkMaker = Link,
    ) -> None:
        """`max_bytes` and `seconds` bound each log, as in `Bounds`; `lease` says what the node knows of its leases.

        Raises `UnfitRedis` for a URL that is none.
        """
        self.measures = Measures()
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._logger = logger
        self._on_fenced = on_fenced
        self._patience = patience
        self._lease: LeaseView = lease if lease is not None else AlwaysOwner()
        self._loop = asyncio.get_running_loop()
        self._clock = clock if clock is not None else self._loop.time
        self._logs: dict[str, SharedLog] = {}
        self._away: dict[Link, asyncio.TimerHandle] = {}  # until the logs of a link that is down are detached
        self._checking: asyncio.Task[None] | None = None  # while logs are detached
        self._arriving: dict[SharedLog, None] = {}  # at a connection that is new to them
        self._asked: dict[SharedLog, None] = {}  # of these, those whose lease is being asked about
        self._returning: asyncio.Task[None] | None = None  # while there are any
        self._change: asyncio.Future[None] = self._loop.create_future()  # done when the next link comes up
        self.round_trips = Histogram(QUICK)  # to Redis, in seconds
        self._maker = link
        self._shards = shards_of(url, self._link, self._moved, logger)

    def __repr__(self) -> str:
        return f"<SharedLogs {len(self._logs)} {self._shards!r}>"

    def __iter__(self) -> Iterator[SharedLog]:
        return iter(tuple(self._logs.values()))

    @property
    def trouble(self) -> str:
        """Why Redis, or a part of it, cannot be used; "" if all of it can."""
        return self._shards.trouble

    @property
    def is_away(self) -> bool:
        """Whether nothing of Redis can be used."""
        return not self._shards.any().is_up

    @property
    def anywhere(self) -> Whereabouts:
        """Who tells a server for hints."""
        return self._shards.anywhere

    async def start(self) -> None:
        """Connect. Raises `UnfitRedis` with a sentence if Redis is out of reach or set up wrong."""
        await self._shards.start()

    async def close(self) -> None:
        """Disconnect for good, after what is written was shown or `LogUnavailable` is sure. Bounded."""
        for timer in self._away.values():
            timer.cancel()
        if asking := {task for task in (self._checking, self._returning) if task is not None}:
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
        waiting = [self._loop.create_task(log.shown()) for log in self]
        if waiting and not self.is_away:
            await asyncio.wait(waiting, timeout=1.0)
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
        for log in self:
            log.fence_off()
        self._logs.clear()
        await self._shards.close()

    def is_ready(self, session_id: str) -> bool:
        """Whether the log of a session can be opened now."""
        return self._shards.is_ready(key_of(session_id))

    async def ready(self, session_id: str, seconds: float) -> None:
        """Return once the log of a session can be opened. Raises `LogUnavailable` if it was away for `seconds`."""
        away_since = self._shards.away_since(key_of(session_id))
        waited = 0.0 if away_since is None else self._loop.time() - away_since
        await self._until(lambda: self.is_ready(session_id), seconds - waited)

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        until = self._loop.time() + seconds
        while not is_so():
            left = until - self._loop.time()
            if left <= 0:
                raise LogUnavailable(SENTENCE)
            await asyncio.wait({self._change}, timeout=left)

    def publish(self, encoded: bytes) -> None:
        """Send a command whose reply does not matter, such as a hint. Without effect while Redis is away."""
        link = self._shards.any()
        if link.is_up:
            link.send(encoded, _ignore)

    async def ask(self, *words: str | bytes | int) -> Reply:
        """Send a command, whose first argument is its key, and return its reply. Raises as `Link.ask` does."""
        key = words[1] if len(words) > 1 and isinstance(words[1], str) else ""
        reply, _ = await self._led(key, lambda link: link.ask(*words))
        return reply

    async def _led(self, key: str, work: Callable[[Sender], Awaitable[T]]) -> tuple[T, Sender]:
        """Do something over the link that leads to a key. If the key is elsewhere, do it again there."""
        link: Sender = self._shards.of(key)
        for pause in PAUSES:
            try:
                return await work(link), link
            except hiredis.ReplyError as error:
                if not str(error).startswith(REDIRECTS):
                    raise
                if not str(error).startswith(ELSEWHERE):
                    await asyncio.sleep(pause)  # nobody has it now
                link = self._shards.redirect(key, str(error), link.home)
                await self._until(_is_up(link.home), REDIRECTION_SECONDS)
        raise LogUnavailable(SENTENCE)

    # ---- logs ------------------------------------------------------------------------------------------------

    def find(self, session_id: str) -> SharedLog | None:
        """Return the log of a session that this node has opened."""
        return self._logs.get(session_id)

    def drop(self, session_id: str) -> None:
        """The session is not this node's any more. What still writes its log gets `Fenced`. Idempotent."""
        log = self._logs.pop(session_id, None)
        if log is not None:
            log.fence_off()

    async def open(self, session_id: str, epoch: int, settle: Settle | None = None) -> SharedLog:
        """Become the owner of a session's log under `epoch`, with all that is in it.

        The marker comes first: Redis then refuses what earlier owners still send, so what is read after it is final.
        So an epoch opens a log once. Under the same one again, what its earlier opening has sent would not be refused;
        nor would what another owner sends, to whom a database that lost its last second has given the same epoch.
        `settle` gets the answers in it, and returns what is to be appended: the lost text and the `end` of the last one
        if that has none, and the events of those that never came so far. By default that is an `end` as `interrupted`.
        The text of such an answer is in `inherited`. Of an answer that `GoesOn`, nothing is appended, and `written` is
        its view.
        Raises `LogUnavailable`, `Fenced` if this or a later epoch has an owner already, and what `settle` raises.
        """
        known = self._logs.get(session_id)
        if known is not None and known.epoch == epoch:
            return known
        self.drop(session_id)
        opening = self.opening(key_of(session_id), epoch, seconds=self._seconds, mirror=self._mirror)
        mirror, link = await self._led(opening.key, opening.replayed)
        answers, mirror.answers = mirror.answers, []
        log = self._made(session_id, mirror, link)
        log.inherited = mirror.answer
        log.is_opening = True
        try:
            await append_missing(log, [] if settle is None else await settle(answers))
        except BaseException:
            self.drop(session_id)
            raise
        if self._logs.get(session_id) is not log:
            raise Fenced(f"{log.key} was given up while it was opened")
        log.is_opening = False
        return log

    def _mirror(self, epoch: int) -> Mirror:
        return Mirror(epoch, max_bytes=self._max_bytes, clock=self._clock)

    def _made(self, session_id: str, mirror: Mirror, link: Sender) -> SharedLog:
        log = self.log(
            key_of(session_id),
            mirror,
            link,
            max_bytes=self._max_bytes,
            seconds=self._seconds,
            patience=self._patience,
            clock=self._clock,
            logger=self._logger,
            measures=self.measures,
            on_fenced=lambda: self._fenced(session_id, log),
            on_detached=self._keep_checking,
            lease=self._lease,
            redirect=self._shards.redirect,
            on_moved=lambda: self._arrive([log]),
        )
        self._logs[session_id] = log
        return log

    def renew(self, session_id: str, deleted: SessionLog) -> None:
        """The session was deleted: its events go, from Redis too. Under its id there is a new log of the same owner.

        The sequence numbers go on. Viewers of the old log can still read it. Without effect if `deleted` is not the log
        of the session any more: this node has lost the session, and perhaps taken it again.
        """
        old = self._logs.get(session_id)
        if old is None or old is not deleted:
            return
        mirror = self._mirror(old.epoch)
        mirror.begin_at(old.promise(0))
        self.drop(session_id)
        self._made(session_id, mirror, self._shards.of(old.key)).empty()

    def _fenced(self, session_id: str, log: SharedLog) -> None:
        self._logger.warning("shared_log_fenced", session=session_id, epoch=log.epoch)
        if self._logs.get(session_id) is log:
            del self._logs[session_id]
        self._on_fenced(session_id)

    # ---- the connections -------------------------------------------------------------------------------------

    def _link(self, whereabouts: Whereabouts) -> Link:
        link = self._maker(
            whereabouts,
            logger=self._logger,
            up=lambda: self._up(link),
            down=lambda _reason: self._down(link),
        )
        link.round_trips = self.round_trips
        return link

    def _of(self, link: Link) -> list[SharedLog]:
        return [log for log in self if log.home is link]

    def _up(self, link: Link) -> None:
        timer = self._away.pop(link, None)
        if timer is not None:
            timer.cancel()
        self._changed()
        self._arrive(self._of(link))

    def _changed(self) -> None:
        change, self._change = self._change, self._loop.create_future()
        change.set_result(None)

    def _arrive(self, logs: Collection[SharedLog]) -> None:
        """Let them look what Redis has, once the leases were asked about.

        It may have lost the markers of later owners, and then would refuse nothing that is sent there.
        """
        self._depart(logs)
        self._arriving.update(dict.fromkeys(logs))
        if self._arriving and self._returning is None:
            self._returning = self._loop.create_task(self._return(), name="return to Redis")
            self._returning.add_done_callback(self._returned)

    def _depart(self, logs: Collection[SharedLog]) -> None:
        for log in logs:
            self._arriving.pop(log, None)
            self._asked.pop(log, None)

    async def _return(self) -> None:
        while self._arriving:
            self._asked, self._arriving = self._arriving, {}
            await self._check()
            asked, self._asked = self._asked, {}
            for log in asked:
                log.link_back()

    def _returned(self, returning: asyncio.Task[None]) -> None:
        self._returning = None
        _tell_of(returning)
        if not returning.cancelled():
            self._arrive(())  # one may have come since its last look

    def _down(self, link: Link) -> None:
        logs = self._of(link)
        self._depart(logs)
        for log in logs:
            log.link_lost()
        self._miss(link)
        self._moved()

    def _moved(self) -> set[Link]:
        """Move the logs whose link is down to where their keys are now. Return the links that logs use."""
        arrived = []
        for log in self:
            home = log.home
            if log.is_guest or not home.is_up:
                link = self._shards.of(log.key)
                if link is home:
                    log.move(link)  # it is no guest there any more
                elif not (home.is_up or home.is_new):
                    log.move(link)
                    self._miss(link)
                    if link.is_up:
                        arrived.append(log)
        self._arrive(arrived)
        self._changed()
        return {log.home for log in self}

    def _miss(self, link: Link) -> None:
        if not link.is_up and link not in self._away:
            self._away[link] = self._loop.call_later(self._patience, self._detach, link)

    def _detach(self, link: Link) -> None:
        """It has been down for too long to keep viewers waiting."""
        self._away.pop(link, None)
        logs = self._of(link)
        if logs:
            self._logger.warning("shared_logs_detached", logs=len(logs), reason=link.trouble)
        for log in logs:
            log.detach()

    # ---- the leases ------------------------------------------------------------------------------------------

    def _keep_checking(self) -> None:
        """Nothing but PostgreSQL tells, without Redis, that another node has taken a session by force."""
        if self._checking is None and any(log.is_detached for log in self):
            self._checking = self._loop.create_task(self._check_on(), name="check detached logs")
            self._checking.add_done_callback(self._checked)

    async def _check_on(self) -> None:
        while any(log.is_detached for log in self):
            await asyncio.sleep(CHECK_SECONDS)
            await self._check()

    async def _check(self) -> None:
        try:
            await within(ANSWER_SECONDS, self._lease.check())
        except (HistoryUnavailable, TimeoutError) as error:  # then what the node knows of its leases decides
            self._logger.warning("shared_logs_not_checked", error=str(error) or "timeout")
        except Exception as error:  # noqa: BLE001 - it is reported; logs that nobody lets go on would wait for ever
            report("nobody could be asked whose the shared logs are", error)

    def _checked(self, checking: asyncio.Task[None]) -> None:
        self._checking = None
        _tell_of(checking)
        if not checking.cancelled():
            self._keep_checking()  # one may have been detached since its last look


def _ignore(_reply: Reply) -> None:
    """Nothing depends on it."""


def _tell_of(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and isinstance(error := task.exception(), Exception):
        report("a task of the shared logs failed", error)


def _is_up(link: Link) -> Callable[[], bool]:
    return lambda: link.is_up
