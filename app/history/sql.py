"""The durable history: `History` on a database.

A prompt is on disk before its `admit` returns. Every read sees an answer as soon as `finish` returns; the write to
disk follows later. A read is a consistent snapshot of the moment at which it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from app.chat.archive import Archive, ArchivedMessage, ArchivedStream
from app.chat.errors import (
    BeingDeleted,
    DiskFull,
    HistoryUnavailable,
    LongChatsBusy,
    SessionNotFound,
    StreamNotFound,
)
from app.chat.excerpts import excerpt_of
from app.chat.growing_text import GrowingText
from app.chat.message_range import MessageRange
from app.chat.ports import ImageData, Logger, Options
from app.chat.quotas import UNLIMITED, StorageLimits, Usage, UseLimits, is_limited
from app.chat.records import (
    Admission,
    Conversation,
    Excerpt,
    Exchange,
    HistoryLoad,
    Interrupted,
    KnownKey,
    Message,
    Page,
    Records,
    Seen,
    SessionInfo,
    StreamState,
    Unfinished,
)
from app.chat.scoped_ids import owner_of
from app.chat.times import utc_now
from app.chat.tokens import TokenStore
from app.history.database import Database, T, Work
from app.history.expiry import Expiry
from app.history.fence import Fence
from app.history.search_lane import SearchLane
from app.history.session_list import SEARCH_SECONDS, place_of, words_of
from app.history.session_writer import WholeSessions, Writing
from app.history.statements.archive import is_long_session, read_archive
from app.history.statements.deleted import NotKept, can_be_kept, read_restorable
from app.history.statements.long_session import (
    is_long,
    read_archived_messages,
    read_archived_streams,
    read_excerpt,
    read_first,
    read_near,
    read_records,
)
from app.history.statements.read import (
    Found,
    read_image,
    read_image_sizes,
    read_key,
    read_messages,
    read_owner,
    read_running,
    read_session,
    read_sessions,
    read_stream,
    search_sessions,
)
from app.history.statements.recover import read_interrupted, read_unfinished
from app.history.statements.secrets import kept_secret
from app.history.statements.tables import HIDDEN
from app.history.statements.usage import read_usage
from app.history.tokens import SqlTokens
from app.history.write_queue.changes import (
    Admit,
    BringBack,
    Configure,
    Delete,
    Discard,
    Finish,
    GiveUp,
    Halt,
    Interrupt,
    Mark,
    Rename,
    SetAside,
    Withdraw,
)
from app.history.write_queue.pending import Pending
from app.history.write_queue.queue import InDoubt
from app.history.write_queue.read_batcher import ReadBatcher
from app.history.write_queue.writer import Writer

LONG_SECONDS = 10.0  # that a part of a long session may take
# Reads of such parts that wait, of one owner: a browser that starts again opens all its tabs at once.
LONG_WAITING, LONG_WAIT = 64, 20.0  # s
GONE_SECONDS = 20.0  # that a prompt waits for the end of a deletion whose id it uses
READ_AGAIN = 16  # attempts, while changes make the result stale


class SqlHistory:
    """`History` on SQLite or PostgreSQL. Created by `opened`, or by `on` for an open database."""

    def __init__(
        self,
        database: Database,
        reads: ReadBatcher,
        unwritten: Pending,
        writer: Writer,
        whole: WholeSessions,
        expiry: Expiry,
        limits: StorageLimits,
        fence: Fence | None = None,
        use: UseLimits | None = None,
    ) -> None:
        self._fence = fence
        self._use = use
        self._limits = limits
        self._database = database
        self._reads = reads
        self._unwritten = unwritten
        self._writer = writer
        self._whole = whole
        self._expiry = expiry
        self._searches = SearchLane()
        self._aside = SearchLane(most_waiting=LONG_WAITING, wait=LONG_WAIT, busy=LongChatsBusy)

    def __repr__(self) -> str:
        return f"<SqlHistory {self._database!r} {self._unwritten!r} {self._writer!r}>"

    @classmethod
    @asynccontextmanager
    async def on(
        cls,
        database: Database,
        logger: Logger,
        limits: StorageLimits = UNLIMITED,
        fence: Fence | None = None,
        use: UseLimits | None = None,
    ) -> AsyncIterator[SqlHistory]:
        """Use a database for the duration of the block. Streams that a crash interrupted are ended first.

        With a `fence`, changes of a session are written only while this node has its lease. What owners `use` is then
        counted on all nodes.

        Raises `DatabaseUnusable`.
        """
        await database.prepare(logger)
        unwritten = Pending()
        async with (
            Writer.writing(database, unwritten, logger, fence) as writer,
            ReadBatcher.gathering(database) as reads,
            WholeSessions.working(database, writer, logger) as whole,
            Expiry.working(database, writer, whole, logger, fence) as expiry,
        ):
            yield cls(database, reads, unwritten, writer, whole, expiry, limits, fence, use)

    @property
    def tokens(self) -> TokenStore:
        """The access tokens and sign-ins in the same database."""
        return SqlTokens(self._database)

    def load(self) -> HistoryLoad:
        """See `History`."""
        return self._writer.load()

    # ---- reading ---------------------------------------------------------------------------------------------

    async def _read(self, key: str, what: Hashable, work: Work[T]) -> T:
        """Read, and repeat if a change made the result stale: the returned value is current.

        `key` is the session or stream whose changes count. `what` identifies the read: concurrent callers with the same
        `key` and `what` share the returned object. Raises `HistoryUnavailable` after `READ_AGAIN` attempts.
        """
        for _ in range(READ_AGAIN):
            with self._unwritten.reading(key) as reading:
                found = await self._reads.read((key, what), work)
                if not reading.stale:
                    return found
        raise HistoryUnavailable("This chat is changing too fast to read. Try again in a moment.")

    async def check(self, owner: str, session_id: str) -> bool:
        """See `History`."""
        return await self._read(
            session_id, ("owner", owner), lambda connection: _is_there(connection, owner, session_id)
        )

    async def running(self, owner: str, session_id: str) -> list[str]:
        """See `History`."""
        found = await self._read(
            session_id, ("running", owner), lambda connection: read_running(connection, owner, session_id)
        )
        return [
            stream_id
            for stream_id in found
            if (answer := self._unwritten.find(stream_id)) is None or answer.state.outcome is None
        ]

    async def known_key(self, owner: str, session_id: str, key: str) -> KnownKey | None:
        """See `History`."""

        def read(connection: Connection) -> KnownKey | None:
            return read_key(connection, session_id, key) if _is_there(connection, owner, session_id) else None

        known = await self._read(session_id, ("key", owner, key), read)
        answer = self._unwritten.find(known.stream_id) if known else None
        return None if answer is not None and answer.hidden else known

    async def stream(self, owner: str, stream_id: str) -> StreamState:
        """See `History`."""
        if (answer := self._unwritten.find(stream_id)) is None:
            return await self._read(
                stream_id, ("stream", owner), lambda connection: read_stream(connection, owner, stream_id)
            )
        if answer.hidden or answer.exchange.owner != owner:
            raise StreamNotFound()
        return answer.state

    async def interrupted(
        self, *, since: datetime, tries: int, limit: int, sessions: Collection[str] | None = None
    ) -> Sequence[Interrupted]:
        """See `History`."""
        return await self._database.read(
            lambda connection: read_interrupted(connection, since, tries, limit, sessions)
        )

    async def image(self, owner: str, image_id: str) -> ImageData:
        """See `History`."""
        return await self._database.read(lambda connection: read_image(connection, owner, image_id))

    async def image_sizes(self, owner: str, image_ids: Collection[str]) -> dict[str, int]:
        """See `History`."""
        return await self._database.read(lambda connection: read_image_sizes(connection, owner, image_ids))

    async def session(self, owner: str, session_id: str) -> SessionInfo:
        """See `History`."""
        found = await self._read(
            session_id, ("session", owner), lambda connection: read_session(connection, owner, session_id)
        )
        return msgspec.structs.replace(found)

    async def messages(self, owner: str, session_id: str) -> Sequence[Message]:
        """See `History`."""
        return (await self.conversation(owner, session_id)).messages

    async def conversation(self, owner: str, session_id: str) -> Conversation:
        """See `History`."""

        def read(connection: Connection) -> Conversation:
            info = read_session(connection, owner, session_id)
            return Conversation(info, read_messages(connection, session_id))

        return self._as_they_are(*await self._read(session_id, ("whole", owner), read))

    def _as_they_are(self, info: SessionInfo, messages: Sequence[Message]) -> Conversation:
        # Nothing is awaited between the last staleness check and the return to the caller.
        own = [msgspec.structs.replace(message) for message in messages]
        return Conversation(msgspec.structs.replace(info), self._unwritten.complete(own))

    async def _short(self, owner: str, session_id: str) -> Conversation | None:
        """Return a session with its messages; `None` for a long one."""

        def read(connection: Connection) -> Conversation | None:
            info = read_session(connection, owner, session_id)
            if is_long(connection, session_id):
                return None
            return Conversation(info, read_messages(connection, session_id))

        found = await self._read(session_id, ("conversation", owner), read)
        return None if found is None else self._as_they_are(*found)

    async def _read_long(self, owner: str, session_id: str, work: Callable[[Connection], T]) -> T:
        """Read a part of a long session: beside the reads of others, and again if a change made the result stale.

        `work` must not depend on pending changes other than those that make a read stale.
        """
        for _ in range(READ_AGAIN):
            with self._unwritten.reading(session_id) as reading:
                async with self._aside.turn(owner):
                    found = await self._database.search(work, LONG_SECONDS)
                if not reading.stale:
                    return found
        raise HistoryUnavailable("This chat is changing too fast to read. Try again in a moment.")

    async def excerpt(
        self, owner: str, session_id: str, through: str | None, part: MessageRange, *, entire: bool = False
    ) -> Excerpt:
        """See `History`."""
        short = await self._short(owner, session_id)
        if short is not None:
            return excerpt_of(*short, through, part)

        def read(connection: Connection) -> Excerpt:
            # As of now: a change from now on makes the read stale.
            gone = self._unwritten.off(session_id)
            return read_excerpt(connection, owner, session_id, through, part, entire=entire, gone=gone)

        found = await self._read_long(owner, session_id, read)
        return found._replace(messages=self._unwritten.complete(found.messages))

    async def some(self, owner: str, session_id: str, message_ids: Sequence[str]) -> list[Message]:
        """See `History`."""

        def read(connection: Connection) -> list[Message]:
            read_session(connection, owner, session_id)
            return read_first(connection, session_id, message_ids)

        return self._unwritten.complete(await self._database.read(read))

    async def near(self, owner: str, session_id: str, message_id: str, most: int) -> list[Message]:
        """See `History`."""
        ahead = self._writer.ahead.take(owner, session_id)
        if ahead is not None:
            return self._unwritten.complete(ahead)
        short = await self._short(owner, session_id)
        if short is not None:
            return short.messages

        def read(connection: Connection) -> list[Message]:
            read_session(connection, owner, session_id)
            return read_near(connection, session_id, message_id, most, self._unwritten.off(session_id))

        return self._unwritten.complete(await self._read_long(owner, session_id, read))

    async def sessions(
        self, owner: str, *, query: str = "", after: str | None = None, limit: int = 50
    ) -> Page:
        """See `History`. Flushes pending changes first, because the list is read from disk."""
        if self._unwritten.behind:
            with suppress(HistoryUnavailable):  # then the list shows the state on disk
                await self._writer.now(Mark())
        if words := words_of(query):
            return await self._search(owner, words, after, limit)
        found = await self._reads.read(
            ("sessions", owner, after, limit),
            lambda connection: read_sessions(connection, owner, after, limit + 1),
        )
        return _page(found, limit)

    async def _search(self, owner: str, words: Sequence[str], after: str | None, limit: int) -> Page:
        """Search in the lane of searches. What an interrupted search did not see comes with the next page."""
        holds = self._database.holds

        def search(connection: Connection) -> Found:
            return search_sessions(connection, holds, owner, words, after, limit + 1)

        async with self._searches.turn(owner):
            return _page(await self._database.search(search, SEARCH_SECONDS), limit)

    # ---- writing ---------------------------------------------------------------------------------------------

    async def admit(self, exchange: Exchange) -> Admission:
        """See `History`. The session's state is that on disk after all changes that were made before this one.

        A deleted session that is too large to `make_way` is deleted for good first, piece by piece.
        """
        await self._check_disk()
        try:
            return await self._admit(exchange)
        except BeingDeleted:
            await self._writer.now(GiveUp(exchange.owner, exchange.session_id))
            if not await self._whole.gone(exchange.session_id, GONE_SECONDS):
                raise
        return await self._admit(exchange)

    async def _admit(self, exchange: Exchange) -> Admission:
        answer = self._unwritten.arrive(exchange, self._writer.key(exchange.session_id))
        try:
            use = self._use if is_limited(exchange.owner) else None
            admit = Admit(exchange, self._limits.of(exchange.owner), use)
            admission = await self._writer.now(admit) or Admission()
        except (InDoubt, asyncio.CancelledError):
            # It may be on disk now or soon, but the caller does not learn that it was accepted: withdraw it.
            self._unwritten.drop(exchange.stream.stream_id, hide=True)
            self._writer.later(Withdraw(exchange.stream.stream_id), answer)
            raise
        except BaseException:
            self._unwritten.forget(answer)
            raise
        if admission.known is None:
            self._unwritten.admit(answer)
        else:
            self._unwritten.forget(answer)
        return admission

    def follow(self, stream_id: str, texts: GrowingText, reasoning: GrowingText) -> None:
        """See `History`."""
        self._unwritten.follow(stream_id, texts, reasoning)
        self._writer.stir()

    async def finish(self, state: StreamState, content: str, reasoning: str) -> None:
        """See `History`. Does not wait."""
        finish = Finish(state, content, reasoning, utc_now())
        self._writer.later(finish, self._unwritten.find(state.stream_id))
        self._unwritten.end(finish)

    async def discard(self, stream_id: str) -> None:
        """See `History`. Waits only if the exchange is already completely on disk."""
        if (answer := self._unwritten.find(stream_id)) is not None:
            self._writer.later(Discard(stream_id), answer)
            self._unwritten.drop(stream_id)
        else:
            await self._writer.now(Discard(stream_id))

    async def halt(self, session_id: str, stream_id: str | None = None) -> None:
        """See `History`. In a cluster it also makes sure that the session is this node's."""
        await self._writer.now(Halt(session_id, stream_id))

    async def withdraw(self, stream_id: str) -> None:
        """See `History`."""
        answer = self._unwritten.drop(stream_id, hide=True)
        try:
            await self._writer.now(Withdraw(stream_id))
        except HistoryUnavailable:
            self._writer.later(Withdraw(stream_id), answer)
        else:
            if answer is not None:
                self._unwritten.forget(answer)

    async def rename(self, owner: str, session_id: str, title: str) -> SessionInfo:
        """See `History`."""
        await self._writer.now(Rename(owner, session_id, title))
        return await self.session(owner, session_id)

    async def configure(self, owner: str, session_id: str, options: Options) -> SessionInfo:
        """See `History`."""
        await self._writer.now(Configure(owner, session_id, options, self._limits.of(owner)))
        return await self.session(owner, session_id)

    async def delete(self, owner: str, session_id: str, *, undoable: bool = False) -> None:
        """See `History`. What can be restored stays where it is, and takes no longer the larger it is."""
        if undoable and await self._database.read(
            lambda connection: can_be_kept(connection, owner, session_id)
        ):
            with suppress(NotKept):
                await self._writer.now(SetAside(owner, session_id))
                self._unwritten.forget_session(session_id)
                self._expiry.stir()
                return
        is_long = await self._database.read(lambda connection: is_long_session(connection, session_id))
        if is_long:
            await self._whole.delete(owner, session_id)
        else:
            await self._writer.now(Delete(owner, session_id))
        self._unwritten.forget_session(session_id)
        self._expiry.stir()  # an earlier deletion of the same id is over, too

    async def restorable(self, owner: str, session_id: str) -> str:
        """See `History`."""
        return await self._database.read(lambda connection: read_restorable(connection, owner, session_id))

    async def undelete(self, owner: str, session_id: str, back_as: str) -> None:
        """See `History`. If the database took too long to say whether the session is back, that is looked up."""
        try:
            await self._writer.now(BringBack(owner, back_as, session_id))
        except InDoubt:
            await self._writer.now(Mark())  # once it is written, so is what came before
            if await self._database.read(lambda connection: read_owner(connection, back_as)) != owner:
                raise
        self._unwritten.forget_session(back_as)  # reads in progress are as it was before

    # ---- whole sessions --------------------------------------------------------------------------------------

    async def archive(self, owner: str, session_id: str) -> Archive:
        """See `History`. The disk alone is read, once it has all there is of the session."""
        return await self._from_disk(
            session_id, lambda connection: read_archive(connection, owner, session_id)
        )

    async def records(self, owner: str, session_id: str) -> Records | None:
        """See `History`."""
        return await self._from_disk(
            session_id, lambda connection: read_records(connection, owner, session_id)
        )

    async def archived_messages(
        self, owner: str, session_id: str, message_ids: Sequence[str]
    ) -> list[ArchivedMessage]:
        """See `History`."""

        def read(connection: Connection) -> list[ArchivedMessage]:
            read_session(connection, owner, session_id)
            return read_archived_messages(connection, session_id, message_ids)

        return await self._database.read(read)

    async def archived_streams(
        self, owner: str, session_id: str, stream_ids: Sequence[str]
    ) -> list[ArchivedStream]:
        """See `History`."""

        def read(connection: Connection) -> list[ArchivedStream]:
            read_session(connection, owner, session_id)
            return read_archived_streams(connection, session_id, stream_ids)

        return await self._database.read(read)

    async def _from_disk(self, session_id: str, read: Work[T]) -> T:
        """Read once the disk has all there is of a session."""
        for _ in range(READ_AGAIN):
            if self._unwritten.is_open(session_id):
                await self._writer.now(Mark())
            with self._unwritten.reading(session_id) as reading:
                found = await self._database.read(read)
                if not (reading.stale or self._unwritten.is_open(session_id)):
                    return found
        raise HistoryUnavailable("This chat is changing too fast to read. Try again in a moment.")

    async def restore(self, owner: str, archive: Archive) -> None:
        """See `History`."""
        async with self.writing(owner, archive.session_id) as writing:
            await writing.add(archive.messages, archive.streams, archive.keys)
            await writing.finish(archive)

    @asynccontextmanager
    async def writing(self, owner: str, session_id: str) -> AsyncIterator[Writing]:
        """See `History`."""
        await self._check_disk()
        async with self._whole.writing(owner, session_id, self._limits.of(owner)) as writing:
            yield writing

    # ---- several nodes ---------------------------------------------------------------------------------------

    async def unfinished(self, session_id: str, *, after: str | None = None) -> list[Unfinished]:
        """Return the streams of a session that an earlier owner left unfinished, oldest first.

        With `after`, also that stream and those registered since, whatever their outcome. Those that run here are not
        among them. Raises `HistoryUnavailable`.
        """
        living = self._unwritten.living(session_id, self._writer.key(session_id))
        # Of a dead node there may be hundreds of sessions: those that are taken together share their transactions.
        found = await self._reads.read(
            ("unfinished", session_id, after),
            lambda connection: read_unfinished(connection, [session_id], after=after),
        )
        return [stream for stream in found if stream.stream_id not in living]

    async def interrupt(
        self,
        session_id: str,
        left: Sequence[Unfinished],
        seen: Sequence[Seen] = (),
        *,
        goes_on: str | None = None,
    ) -> int:
        """End the `unfinished` streams that an earlier owner has `left`, with their stored text; return how many.

        What was `seen` of them is stored first; if the end of one was seen, that is its end. The stream `goes_on` is
        left to `take_up`, and noted as taken up. Goes on with the deletion of a session that was being deleted. Raises
        `LeaseLost`, `HistoryUnavailable`.
        """
        key = self._writer.key(session_id)
        if left:
            ids = {stream.stream_id for stream in left}
            ours = tuple(one for one in seen if one.stream_id in ids)
            living = self._unwritten.living(session_id, key)
            await self._writer.now(Interrupt(session_id, living, ours, goes_on))
        self._unwritten.forget_older(session_id, key)  # they are fenced, so from now on the disk is right
        owner = await self._reads.read(
            ("owner", session_id), lambda connection: read_owner(connection, session_id)
        )
        if owner == HIDDEN:
            self._whole.go_on_deleting(session_id)
        return sum(stream.stream_id != goes_on for stream in left)

    def take_up(self, exchange: Exchange) -> None:
        """Go on with an exchange that an earlier owner stored and `interrupt` left alone. Synchronous."""
        self._unwritten.admit(self._unwritten.arrive(exchange, self._writer.key(exchange.session_id)))

    def works_on(self, session_id: str) -> bool:
        """Return whether a session is being stored or deleted piece by piece, as imports and long ones are."""
        return self._whole.works_on(session_id)

    def lose(self, session_id: str, epoch: int) -> None:
        """Another node owns a session that was written here under this epoch: from now on the disk is right."""
        if self._fence is not None:
            self._fence.drop(session_id, epoch)
        self._unwritten.forget_lost({(session_id, epoch)})

    async def secret(self, name: str, made: bytes) -> bytes:
        """Return the secret that all nodes share: `made`, if there was none. Raises `HistoryUnavailable`."""
        return await self._database.write(lambda connection: kept_secret(connection, name, made))

    async def settle(self) -> None:
        """Return once all changes made before this call are on disk. Raises `HistoryUnavailable`."""
        await self._writer.now(Mark())

    async def usage(self, owner: str) -> Usage:
        """See `History`. Changes that are not on disk yet are not counted."""
        return await self._database.read(lambda connection: read_usage(connection, owner))

    async def _check_disk(self) -> None:
        """Raise `DiskFull` if the disk has too little space left."""
        if not await self._database.has_space(self._limits.free_disk_bytes):
            raise DiskFull("The server's disk is full, so this couldn't be saved. Try again later.")


def _is_there(connection: Connection, owner: str, session_id: str) -> bool:
    """Return whether a session exists. Raises `SessionNotFound` if it is another owner's."""
    found = read_owner(connection, session_id)
    if found == HIDDEN and owner_of(session_id) == owner:
        return False  # the owner has deleted it, and may use its id again
    if found not in (None, owner):
        raise SessionNotFound()
    return found is not None


def _page(found: Found, limit: int) -> Page:
    page = [msgspec.structs.replace(info) for info in found.sessions[:limit]]
    is_last = found.is_complete and len(found.sessions) <= limit
    return Page(page, None if is_last else place_of(page[-1]))
