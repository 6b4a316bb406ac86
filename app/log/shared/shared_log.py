"""A session log that Redis keeps, and its owner shows.

An append is *written* at once, for the stream; it is *shown* to viewers, from the mirror, once Redis has acknowledged
it. So a crash loses nothing that anybody saw. What comes in while a batch is on its way waits, and neighbouring pieces
of text are joined: a slow Redis gets fewer and larger entries.

While Redis is away, what is written waits too, up to a bound in bytes and in time; after that the log is *detached*
and shows everything at once: only this node has it then. When Redis is back, the log looks which entry is the newest
there, and sends what is missing before anything else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import hiredis

from app.chat.errors import Fenced, LogUnavailable
from app.chat.ports import Kind, Logger
from app.log.answer_view import AnswerView
from app.log.cursors import Cursor
from app.log.entries import End, Entry, Event, ResetReason, Start
from app.log.session_log import Listener, Reading
from app.log.shared.key_search import KeySearch
from app.log.shared.mirror import Mirror
from app.log.shared.records import BATCH_BYTES, MARKER, Marker, Place, Record, encode_marker, text_size
from app.log.shared.redis.errors import Lost
from app.log.shared.redis.link import Link, Sender
from app.log.shared.redis.wire import REDIRECTS, OnReply, Reply, command
from app.log.shared.retention import Retention

STREAM_BYTES = 64  # of a small entry in Redis; large ones reach the bound in the mirror first
GREATER = "equal or smaller"  # in what Redis says of an id that is not greater than all before


class Measures:
    """Counters of all shared logs of a node."""

    def __init__(self) -> None:
        self.fenced = 0  # logs that another owner has fenced off
        self.repaired = 0  # events that Redis had lost, and got again
        self.detached = 0  # times that a log was shown without an acknowledgement

    def __repr__(self) -> str:
        return f"<Measures fenced={self.fenced} repaired={self.repaired} detached={self.detached}>"


class LeaseView(Protocol):
    """What a node knows of its leases by its own clock. Without I/O."""

    @property
    def is_sure(self) -> bool:
        """Whether no other node can have taken the lease because of its age."""
        ...

    @property
    def is_confirmed(self) -> bool:
        """Whether the last renewal, a few seconds ago at most, has succeeded."""
        ...

    async def check(self) -> None:
        """Ask PostgreSQL which sessions this node has lost, and drop their logs. Raises `HistoryUnavailable`."""
        ...


class SharedLog:
    """A `SessionLog` over a Redis stream. `SharedLogs.open` makes it, with all that was in the stream.

    `on_fenced` is called once, when Redis has refused an entry because another owner was there before, or when the log
    was given up; `on_detached`, when it begins to show what nobody has acknowledged. `lease` says what this node knows
    of its right to write.
    """

    def __init__(
        self,
        key: str,
        mirror: Mirror,
        link: Sender,
        *,
        max_bytes: int,
        seconds: float,
        patience: float,
        clock: Callable[[], float],
        logger: Logger,
        measures: Measures,
        on_fenced: Callable[[], None],
        on_detached: Callable[[], None],
        lease: LeaseView,
        redirect: Callable[[str, str, Link], Sender],
        on_moved: Callable[[], None],
    ) -> None:
        self.key = key
        self.epoch = mirror.epoch
        self.written: AnswerView | None = None
        self.inherited: AnswerView | None = None  # the answer that an earlier owner left unfinished
        self.is_opening = False  # it has no viewers yet, and is not shown without Redis
        self._mirror = mirror
        self._link = link
        self._max_bytes = max_bytes
        self._patience = patience
        self._clock = clock
        self._logger = logger
        self._measures = measures
        self._on_fenced = on_fenced
        self._on_detached = on_detached
        self._lease = lease
        self._on_moved = on_moved
        self._redirected = ""  # why an entry was refused, if its key is elsewhere or nowhere
        self._search = KeySearch(
            key, patience=patience, redirect=redirect, arrive=self._arrive, give_up=self.detach
        )
        self._retention = Retention(
            key, mirror, seconds=seconds, send=self._send_over, elsewhere=self._look_if_synced
        )
        self._fence = 0
        self._written = mirror.head  # sequence number of the newest event
        self._stored = mirror.head  # of the newest event that Redis has, as far as is known
        self._pending: deque[Record] = deque()  # not sent
        self._flight: deque[Record] = deque()  # sent, not acknowledged
        self._unsure: deque[Record] = deque()  # refused
        self._buffered = 0  # bytes of what is not shown
        self._synced = True  # what Redis has is known; entries can be sent
        self._detached = False
        self._is_fenced = False
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        data = key.encode()
        # What each entry begins with; the id, the field and the value follow. Redis must not make a new stream for an
        # entry: a stream that was lost or has expired would refuse nobody.
        most = b"%d" % max(1, max_bytes // STREAM_BYTES)
        self._head_bytes = (
            b"*9\r\n$4\r\nXADD\r\n$%d\r\n%b\r\n$10\r\nNOMKSTREAM\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$%d\r\n%b\r\n"
            % (len(data), data, len(most), most)
        )

    def __repr__(self) -> str:
        state = "fenced" if self._is_fenced else "detached" if self._detached else "synced" * self._synced
        return f"<SharedLog {self.key} {self.epoch}-{self.head} written={self._written} {state}>"

    # ---- what viewers read -----------------------------------------------------------------------------------

    @property
    def head(self) -> int:
        """See `SessionLog`."""
        return self._mirror.head

    @property
    def answer(self) -> AnswerView | None:
        """See `SessionLog`."""
        return self._mirror.answer

    @property
    def fence(self) -> int:
        """See `SessionLog`."""
        return self._fence

    @property
    def floor(self) -> int:
        """See `SessionLog`."""
        return self._mirror.floor

    @property
    def newest(self) -> Entry | None:
        """The newest entry that viewers can read, if any is retained."""
        return self._mirror.newest

    @property
    def lag(self) -> int:
        """How many events are written and not shown: Redis has not acknowledged them."""
        return self._written - self._mirror.head

    @property
    def is_detached(self) -> bool:
        """Whether it shows what only this node has."""
        return self._detached

    @property
    def listeners(self) -> int:
        """See `SessionLog`."""
        return self._mirror.listeners

    @property
    def size(self) -> int:
        """See `SessionLog`."""
        return self._mirror.size + self._buffered

    def read(self, after: int, stream_id: str | None = None) -> Reading:
        """See `SessionLog`."""
        return self._mirror.read(after, stream_id)

    def refusal(self, cursor: Cursor) -> ResetReason | None:
        """See `SessionLog`. A cursor of an earlier epoch goes on in this one, up to its cut."""
        return self._mirror.refusal(cursor)

    def before(self, stream_id: str) -> int | None:
        """See `SessionLog`."""
        return self._mirror.before(stream_id)

    def listen(self, listener: Listener) -> None:
        """See `SessionLog`."""
        self._mirror.listen(listener)

    def forget(self, listener: Listener) -> None:
        """See `SessionLog`."""
        self._mirror.forget(listener)

    def promise(self, ahead: int) -> int:
        """See `SessionLog`. It counts from the newest event that was appended, shown or not."""
        return self._mirror.promise(self.lag + ahead)

    # ---- what the stream writes ------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Go on with the answer that an earlier owner has started, of which no text came."""
        if self.inherited is not None:
            self.written = self.inherited.empty()

    async def append(self, fence: int, event: Event) -> None:
        """See `SessionLog`."""
        self._check(fence)
        if isinstance(event, Start):
            if self._retention.prolonged is None and self._synced:
                self._retention.prolong(self._written)
            self._fence = fence
            self.written = AnswerView(event, self._written + 1)
        elif self.written is not None:
            self.written.take_event(event)
        self._written += 1
        if isinstance(event, End):
            self._fence = fence + 1
            if self.written is not None:
                self.written.text.join()
                self.written.reasoning.join()
                self.written = None
        self._take(Record(self._written, event=event))
        if isinstance(event, End):
            await self.shown()

    def append_text(self, fence: int, kind: Kind, stream_id: str, position: int, texts: list[str]) -> None:
        """See `SessionLog`. Hot path: called for every token of every stream."""
        if fence < self._fence or self._is_fenced:
            self._check(fence)
        count = len(texts)
        self._written += count
        if self.written is not None:
            self.written.take_text(kind, texts, self._clock(), count)
        pending = self._pending
        if pending and pending[-1].takes(kind, stream_id, count) and not self._detached:
            record = pending[-1]
            record.texts += texts
            record.last = self._written
            size = text_size(texts)
            record.size += size
            self._buffered += size
            return
        self._take(Record(self._written, None, kind, stream_id, position, texts[:]))

    def _check(self, fence: int) -> None:
        if self._is_fenced:
            raise Fenced(f"another owner writes {self.key}")
        if fence < self._fence:
            raise Fenced(f"fence {fence} is older than {self._fence}")

    def _take(self, record: Record) -> None:
        if self._detached:
            if not self._lease.is_sure:
                self._give_up("Redis does not respond, and another node may own it")
                return
            self._mirror.show(record)
        else:
            self._pending.append(record)
            self._buffered += record.size
            if self._buffered > self._max_bytes:
                self.detach()
        if self._synced and not self._flight:
            self._link.wants(self)

    async def shown(self) -> None:
        """Return once viewers can read all that was appended so far. Raises `Fenced`.

        If Redis does not acknowledge it within the log's patience, the log is detached, or given up. One that is being
        opened raises `LogUnavailable` then.
        """
        if self._written <= self._mirror.head:
            return
        if self._is_fenced:
            raise Fenced(f"another owner writes {self.key}")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._written, waiter)
        self._waiters.append(entry)
        try:
            await asyncio.wait([waiter], timeout=self._patience)
            if not waiter.done():
                if self.is_opening:
                    raise LogUnavailable("This chat's log does not respond. Try again in a moment.")
                self.detach()
            waiter.result()
        finally:
            waiter.cancel()
            self._waiters.remove(entry)

    # ---- to Redis --------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """See `Source`: send a batch, if none is on its way. Hot path."""
        if self._flight or not self._synced:
            return
        mirror = self._mirror
        if mirror.floor > self._retention.trimmed:
            self._retention.trim()
        if self._stored < mirror.head:
            self._stored = max(self._stored, mirror.floor)
        if self._stored < mirror.head:
            for record in mirror.records(self._stored, BATCH_BYTES):
                self._measures.repaired += record.last - max(self._stored, record.first - 1)
                self._send(record)
            return
        size = 0
        while self._pending and size < BATCH_BYTES:
            record = self._pending.popleft()
            size += record.size
            self._send(record)

    def _send(self, record: Record) -> None:
        record.sent = True
        self._flight.append(record)
        place = b"%d-%d" % (self.epoch, record.last)
        field, value = record.encode()
        self._link.send(
            b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
            % (self._head_bytes, len(place), place, len(field), field, len(value), value),
            self._on_stored,
        )

    def _on_stored(self, reply: Reply) -> None:
        """The oldest entry on its way was acknowledged, or was not. Hot path."""
        if isinstance(reply, Lost):
            return  # `link_lost` has kept what was on its way
        if not self._flight:
            return
        record = self._flight.popleft()
        if reply.__class__ is not bytes or not self._synced:
            self._refused(record, reply)
            return
        self._stored = record.last
        if record.last > self._mirror.head:
            self._show(record)
        if not self._flight:
            if self._search.looks:
                self._search.found()
            self._go_on()

    def _show(self, record: Record) -> None:
        self._buffered -= record.size
        self._mirror.show(record)
        if self._waiters:
            self._tell_waiters()

    def _tell_waiters(self) -> None:
        for seq, waiter in self._waiters:
            if seq <= self._mirror.head and not waiter.done():
                waiter.set_result(None)

    def _refused(self, record: Record, reply: Reply) -> None:
        """An entry was refused, or there is no stream for it, or it came after one of these.

        What is there is looked at before anything else is sent.
        """
        if record.last > self._mirror.head:
            self._unsure.append(record)
        if not self._synced:
            return
        reason = str(reply) if isinstance(reply, hiredis.ReplyError) else ""
        if reason.startswith(REDIRECTS):
            self._redirected = reason
        elif reason and GREATER not in reason:
            self._fail(reply)
            return
        self._look()

    def _look(self) -> None:
        self._synced = False
        self._search.stay()
        self._link.send(command("XINFO", "STREAM", self.key), self._on_newest)

    def _on_newest(self, reply: Reply) -> None:
        """Redis said what is the newest entry: all that is missing there is sent next."""
        if isinstance(reply, Lost) or self._is_fenced:
            return
        newest = newest_of(reply)
        redirected, self._redirected = self._redirected, ""
        if isinstance(newest, Exception):
            if str(newest).startswith(REDIRECTS):
                self._search.follow(str(newest), self._link.home)
            else:
                self._fail(newest)
            return
        if redirected:  # a Redis Cluster that is down may still be read
            self._search.follow(redirected, self._link.home)
            return
        if newest is not None and (newest.epoch, newest.seq) > (self.epoch, self._written):
            self._measures.fenced += 1
            self.fence_off()
            self._on_fenced()
            return
        is_lost = newest is None or newest.epoch < self.epoch
        if is_lost and not self._lease.is_sure:
            self._give_up("Redis has lost it, and another node may own it")
            return
        self._unsync()
        if newest is None or is_lost:
            self._begin_anew()
            return
        self._synced = True
        self._retention.clear_again()
        self._stored = max(newest.seq, self._mirror.floor)
        while self._pending and self._pending[0].last <= newest.seq:
            self._show(self._pending.popleft())
        self._go_on()

    def _fail(self, error: Exception) -> None:
        """Redis will never take this log as it is: go on without, until the next connection."""
        self._logger.error("shared_log_failed", log=self.key, error=str(error))
        self._unsync()
        self.detach()

    def _begin_anew(self) -> None:
        """Redis has lost the beginning of this epoch, or all. What this node has is the log now."""
        self._stored = base = self._mirror.floor
        marker = Marker(base, sorted(self._mirror.cuts.items()))
        place = f"{self.epoch}-0"
        self._link.send(command("XADD", self.key, place, MARKER, encode_marker(marker)), self._on_begun)

    def _on_begun(self, reply: Reply) -> None:
        if isinstance(reply, Lost) or self._is_fenced:
            return
        if isinstance(reply, Exception):
            self._redirected = str(reply) if str(reply).startswith(REDIRECTS) else ""
            self._look()
            return
        self._search.found()
        self._retention.clear_again(0)  # the marker stays: it has the cuts
        self._synced = True
        self._retention.prolonged = None
        self._go_on()

    def _go_on(self) -> None:
        if self._pending or self._stored < self._mirror.head:
            self._link.wants(self)
        else:
            self._detached = False
            if self._search.looks:
                self._search.found()

    # ---- the key is elsewhere --------------------------------------------------------------------------------

    @property
    def home(self) -> Link:
        """The link that carries what this log sends."""
        return self._link.home

    @property
    def is_guest(self) -> bool:
        """Whether its key is on its way to the shard of that link."""
        return self._link is not self._link.home

    def move(self, link: Sender) -> None:
        """Go on over another link, from `link_back` on unless it is the same connection.

        On the old one nothing may be under way.
        """
        if self._is_fenced or link is self._link:
            return
        stays = link.home is self._link.home
        self._link = link
        if not stays:
            self._search.stay()
            self._unsync()

    def _arrive(self, link: Sender) -> None:
        """Look for the key there. All that was sent before has its reply."""
        stays, self._link = link is self._link, link
        self._unsync()
        if not link.home.is_up:
            return
        if stays:
            self.link_back()
        else:
            self._on_moved()

    # ---- Redis away ------------------------------------------------------------------------------------------

    def link_lost(self) -> None:
        """The connection is gone. What was on its way is looked for when it is back."""
        self._unsync()

    def link_back(self) -> None:
        """There is a connection: look what Redis has."""
        if not self._is_fenced:
            self._look()

    def _unsync(self) -> None:
        """Keep what is not acknowledged, in its order, to send it again."""
        self._synced = False
        again = [record for record in (*self._unsure, *self._flight) if record.last > self._mirror.head]
        self._pending.extendleft(reversed(again))
        self._unsure.clear()
        self._flight.clear()

    def detach(self) -> None:
        """Show everything, acknowledged or not, until Redis has it all. Idempotent.

        That needs PostgreSQL to have said just now that this node is the owner. Else the log is given up, if anything
        waits.
        """
        if self._detached or self._is_fenced or self.is_opening:
            return
        if self._lease.is_confirmed:
            self._show_all()
        elif self._written > self._mirror.head:
            self._give_up("Redis has not acknowledged it for too long, and another node may own it")

    def _show_all(self) -> None:
        self._detached = True
        self._measures.detached += 1
        for record in (*self._unsure, *self._flight, *self._pending):
            if record.last > self._mirror.head:
                self._mirror.show(record)
        self._unsure.clear()
        self._pending.clear()
        self._buffered = 0
        self._tell_waiters()
        self._on_detached()

    def _give_up(self, reason: str) -> None:
        """Nothing would refuse what this node writes or shows, if another node has taken the session meanwhile."""
        self._logger.warning("shared_log_given_up", log=self.key, epoch=self.epoch, reason=reason)
        self.fence_off()
        asyncio.get_running_loop().call_soon(
            self._on_fenced
        )  # whoever appends is not to be stopped inside of it

    def fence_off(self) -> None:
        """Another owner writes this log: refuse all appends from now on. What was not acknowledged is never shown."""
        if self._is_fenced:
            return
        self._is_fenced = True
        self._synced = False
        self._search.stay()
        self._search.found()
        self._forget_waiting()
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(Fenced(f"another owner writes {self.key}"))

    def _forget_waiting(self) -> None:
        for waiting in (self._pending, self._flight, self._unsure):
            waiting.clear()
        self._buffered = 0

    # ---- retention -------------------------------------------------------------------------------------------

    def expire(self, older_than: float) -> None:
        """See `SessionLog`. The stream loses what the mirror loses, and all of it if nobody writes any more."""
        self._mirror.expire(older_than)
        if self._synced:
            self._retention.trim()
            self._retention.prolong(self._written)

    def _send_over(self, encoded: bytes, on_reply: OnReply) -> None:
        self._link.send(encoded, on_reply)

    def _look_if_synced(self) -> None:
        if self._synced:
            self._look()

    def clear(self) -> None:
        """Nothing of it is kept, here or in Redis. The sequence numbers go on, after one that is left out.

        So a cursor of who had read everything has expired, too.
        """
        self.written = None
        self._written += 1
        self._forget_waiting()
        self._mirror.begin_at(self._written)
        self._tell_waiters()
        self.empty()

    def empty(self) -> None:
        """Delete what Redis has of this log so far, and again if a connection leads to a Redis that still has it.

        That is what this epoch and those before have written: nothing of a later owner.
        """
        self._retention.clear()
        self._look()  # its reply comes after all that are no longer waited for


def newest_of(reply: Reply) -> Place | Exception | None:
    """Return the greatest id that a stream ever had, `None` if there is no stream; another error as it is."""
    if isinstance(reply, Exception):
        return None if "no such key" in str(reply) else reply
    said = dict(zip(reply[::2], reply[1::2], strict=True))
    return Place.parse(said[b"last-generated-id"])
