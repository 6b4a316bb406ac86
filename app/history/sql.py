"""The durable history: `History` on a database.

A prompt is on disk before its `admit` returns. Every read sees an answer as soon as `finish` returns; the write to
disk follows later. A read is a consistent snapshot of the moment at which it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from app.chat.archive import Archive
from app.chat.errors import HistoryUnavailable, SessionNotFound, StreamNotFound
from app.chat.ports import ImageData, Logger, Options
from app.chat.records import (
    Conversation,
    Exchange,
    Interrupted,
    KnownKey,
    Message,
    Page,
    SessionHead,
    SessionInfo,
    StreamState,
)
from app.history.database import Database, T, Work
from app.history.session_list import place_of, utc_now, words_of
from app.history.statements.archive import read_archive
from app.history.statements.read import (
    read_head,
    read_image,
    read_key,
    read_messages,
    read_owner,
    read_session,
    read_sessions,
    read_stream,
)
from app.history.statements.recover import read_interrupted
from app.history.write_queue.changes import (
    Admit,
    Configure,
    Delete,
    Discard,
    Finish,
    Mark,
    Rename,
    Restore,
    Withdraw,
)
from app.history.write_queue.pending import Pending
from app.history.write_queue.queue import InDoubt
from app.history.write_queue.read_batcher import ReadBatcher
from app.history.write_queue.writer import Writer

READ_AGAIN = 16  # attempts, while changes make the result stale


class SqlHistory:
    """`History` on SQLite or PostgreSQL. Created by `opened`, or by `on` for an open database."""

    def __init__(self, database: Database, reads: ReadBatcher, unwritten: Pending, writer: Writer) -> None:
        self._database = database
        self._reads = reads
        self._unwritten = unwritten
        self._writer = writer

    def __repr__(self) -> str:
        return f"<SqlHistory {self._database!r} {self._unwritten!r} {self._writer!r}>"

    @classmethod
    @asynccontextmanager
    async def on(cls, database: Database, logger: Logger) -> AsyncIterator[SqlHistory]:
        """Use a database for the duration of the block. Streams that a crash interrupted are ended first.

        Raises `DatabaseUnusable`.
        """
        await database.prepare(logger)
        unwritten = Pending()
        async with (
            Writer.writing(database, unwritten, logger) as writer,
            ReadBatcher.gathering(database) as reads,
        ):
            yield cls(database, reads, unwritten, writer)

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
        found = await self._read(session_id, "owner", lambda connection: read_owner(connection, session_id))
        if found not in (None, owner):
            raise SessionNotFound()
        return found is not None

    async def known_key(self, owner: str, session_id: str, key: str) -> KnownKey | None:
        """See `History`."""

        def read(connection: Connection) -> KnownKey | None:
            if read_owner(connection, session_id) not in (None, owner):
                raise SessionNotFound()
            return read_key(connection, session_id, key)

        known = await self._read(session_id, ("key", owner, key), read)
        answer = self._unwritten.find(known.stream_id) if known else None
        return None if answer is not None and answer.hidden else known

    async def standing(self, owner: str, session_id: str) -> SessionHead:
        """See `History`."""
        standing, stream_id = await self._read(
            session_id, ("standing", owner), lambda connection: read_head(connection, owner, session_id)
        )
        if not self._unwritten.is_off(stream_id):
            return standing
        # The newest message on disk is no longer part of the conversation.
        info, messages = await self.conversation(owner, session_id)
        return SessionHead(messages[-1].message_id if messages else None, info.options)

    async def stream(self, owner: str, stream_id: str) -> StreamState:
        """See `History`."""
        if (answer := self._unwritten.find(stream_id)) is None:
            return await self._read(
                stream_id, ("stream", owner), lambda connection: read_stream(connection, owner, stream_id)
            )
        if answer.hidden or answer.exchange.owner != owner:
            raise StreamNotFound()
        return answer.state

    async def interrupted(self, *, since: datetime, tries: int, limit: int) -> Sequence[Interrupted]:
        """See `History`."""
        return await self._database.read(lambda connection: read_interrupted(connection, since, tries, limit))

    async def image(self, owner: str, image_id: str) -> ImageData:
        """See `History`."""
        return await self._database.read(lambda connection: read_image(connection, owner, image_id))

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

        info, messages = await self._read(session_id, ("conversation", owner), read)
        # Nothing is awaited between the last staleness check and the return to the caller.
        own = [msgspec.structs.replace(message) for message in messages]
        return Conversation(msgspec.structs.replace(info), self._unwritten.complete(own))

    async def sessions(
        self, owner: str, *, query: str = "", after: str | None = None, limit: int = 50
    ) -> Page:
        """See `History`. Flushes pending changes first, because the list is read from disk."""
        if self._unwritten.behind:
            with suppress(HistoryUnavailable):  # then the list shows the state on disk
                await self._writer.now(Mark())
        holds, words = self._database.holds, words_of(query)

        def read(connection: Connection) -> list[SessionInfo]:
            return read_sessions(connection, holds, owner, words, after, limit + 1)

        # A search may be slow, so it does not share a transaction with other reads.
        searching = self._database.read(read) if words else None
        found = await (searching or self._reads.read(("sessions", owner, after, limit), read))
        page = [msgspec.structs.replace(info) for info in found[:limit]]
        return Page(page, place_of(page[-1]) if len(found) > limit else None)

    # ---- writing ---------------------------------------------------------------------------------------------

    async def admit(self, exchange: Exchange) -> None:
        """See `History`."""
        answer = self._unwritten.arrive(exchange)
        try:
            await self._writer.now(Admit(exchange))
        except (InDoubt, asyncio.CancelledError):
            # It may be on disk now or soon, but the caller does not learn that it was accepted: withdraw it.
            self._unwritten.drop(exchange.stream.stream_id, hide=True)
            self._writer.later(Withdraw(exchange.stream.stream_id), answer)
            raise
        except BaseException:
            self._unwritten.forget(answer)
            raise
        self._unwritten.admit(answer)

    def follow(self, stream_id: str, texts: list[str], reasoning: list[str]) -> None:
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
        await self._writer.now(Configure(owner, session_id, options))
        return await self.session(owner, session_id)

    async def delete(self, owner: str, session_id: str) -> None:
        """See `History`."""
        await self._writer.now(Delete(owner, session_id))
        self._unwritten.forget_session(session_id)

    # ---- whole sessions --------------------------------------------------------------------------------------

    async def archive(self, owner: str, session_id: str, *, most: int | None = None) -> Archive:
        """See `History`. The disk alone is read, once it has all there is of the session."""

        def read(connection: Connection) -> Archive:
            return read_archive(connection, owner, session_id, most)

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
        await self._writer.now(Restore(owner, archive))
