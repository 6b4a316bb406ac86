"""A history in memory: complete and fast, lost when the process ends."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial

import msgspec

from app.chat.archive import Archive, ArchivedKey, ArchivedMessage, ArchivedStream
from app.chat.branches import without
from app.chat.errors import (
    AnswerMoved,
    CannotContinue,
    ImageNotFound,
    SearchTimeout,
    SessionExists,
    SessionNotFound,
    StreamNotFound,
)
from app.chat.excerpts import excerpt_of
from app.chat.growing_text import GrowingText
from app.chat.message_range import MessageRange
from app.chat.ports import ImageData, Options
from app.chat.quotas import UNLIMITED, StorageLimits, Usage, refusal
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
    SessionInfo,
    StreamState,
)
from app.chat.scoped_ids import scoped
from app.chat.states import Outcome
from app.chat.times import utc_now
from app.chat.titles import title_of
from app.history.archive_records import archived, info_of, messages_of, states_of
from app.history.matching import Deadline, OutOfTime, text_holds
from app.history.search_lane import SearchLane
from app.history.session_list import SEARCH_SECONDS, place_of, words_of
from app.history.stored_bytes import of_archive, of_exchange, of_message, of_options, of_spare_streams
from app.history.tokens import MemoryTokens
from app.history.undo_buffer import UndoBuffer


class MemorySession:
    """Everything that is remembered of one session, but the states of its streams."""

    def __init__(self, owner: str, info: SessionInfo) -> None:
        self.owner = owner
        self.info = info
        self.messages: list[Message] = []
        self.images: dict[str, ImageData] = {}
        self.keys: dict[str, KnownKey] = {}
        self.registered: dict[str, str | None] = {}  # the time of registration of each stream
        self.bytes = 0  # as `stored_bytes` counts them
        self.spare = 0  # of these, for imported streams without a message
        self.before: dict[str, Message] = {}  # by stream: the answer before that stream continued it
        self.halted: set[str] = set()  # streams whose answer only the user may continue

    def follow(self, message: Message) -> None:
        """Put a message behind the one that it follows."""
        there = [before.message_id for before in self.messages]
        if message.parent_id is not None and message.parent_id not in there:
            message.parent_id = there[-1] if there else None
        self.messages.append(message)

    def find(self, message_id: str) -> Message | None:
        """Return a message."""
        return next((message for message in self.messages if message.message_id == message_id), None)

    def take_over(self, exchange: Exchange) -> None:
        """Assign an answer to the stream that continues it. Raises `AnswerMoved` if another one has done that."""
        answer = self.find(exchange.answer.message_id)
        if answer is None or answer.stream_id != exchange.stream.continues:
            raise AnswerMoved("This answer is already being continued.")
        self.before[exchange.stream.stream_id] = msgspec.structs.replace(answer)
        answer.show(exchange.stream)

    @property
    def texts(self) -> list[str]:
        """What a search looks through: the title and the messages."""
        return [self.info.title, *(each.content for each in self.messages)]


class MemoryWriter:
    """See `SessionWriter`."""

    def __init__(self, restore: Callable[[Archive], Awaitable[None]]) -> None:
        self._restore = restore
        self._messages: list[ArchivedMessage] = []
        self._streams: list[ArchivedStream] = []
        self._keys: list[ArchivedKey] = []

    async def add(
        self,
        messages: Sequence[ArchivedMessage],
        streams: Sequence[ArchivedStream] = (),
        keys: Sequence[ArchivedKey] = (),
    ) -> None:
        """See `SessionWriter`."""
        self._messages += messages
        self._streams += streams
        self._keys += keys

    async def finish(self, archive: Archive) -> None:
        """See `SessionWriter`."""
        lists = {"messages": self._messages, "streams": self._streams, "keys": self._keys}
        await self._restore(msgspec.structs.replace(archive, **lists))


class MemoryHistory:
    """`History` in memory. No method but a search suspends, so each call is atomic."""

    def __init__(self, limits: StorageLimits = UNLIMITED) -> None:
        self._limits = limits
        self._usage: dict[str, Usage] = {}  # by owner
        self._sessions: dict[str, MemorySession] = {}
        self._streams: dict[str, StreamState] = {}
        self.tokens = MemoryTokens()
        self._searches = SearchLane()
        self._deleted = UndoBuffer()

    def __repr__(self) -> str:
        return f"<MemoryHistory sessions={len(self._sessions)} streams={len(self._streams)}>"

    def close(self) -> None:
        """Forget the deleted sessions for good."""
        self._deleted.clear()

    def load(self) -> HistoryLoad:
        """See `History`."""
        return HistoryLoad()

    async def usage(self, owner: str) -> Usage:
        """See `History`."""
        return self._usage.get(owner, Usage())

    def _count(self, session: MemorySession, size: int, *, sessions: int = 0) -> None:
        """Count bytes, and sessions, that are added to what the owner of a session has stored."""
        session.bytes += size
        used = self._usage.pop(session.owner, Usage())
        if used.sessions + sessions:
            self._usage[session.owner] = Usage(used.sessions + sessions, used.bytes + size)

    def _count_again(self, session: MemorySession) -> None:
        """Count a session whose size has changed in some other way than by an addition."""
        whole = sum(map(of_message, session.messages)) + of_options(session.info.options) + session.spare
        self._count(session, whole - session.bytes)

    def _check_room(self, owner: str, size: int, *, adds_session: bool = False) -> None:
        """Raise `StorageFull` if there is no room for so many more bytes."""
        if (limits := self._limits.of(owner)) is None:
            return
        used = self._usage.get(owner, Usage())
        stored = sum(usage.bytes for usage in self._usage.values()) + size
        after = Usage(used.sessions + adds_session, used.bytes + size)
        if (error := refusal(limits, after, stored, adds_session=adds_session)) is not None:
            raise error

    def _owned(self, owner: str, session_id: str) -> MemorySession:
        session = self._sessions.get(session_id)
        if session is None or session.owner != owner:
            raise SessionNotFound()
        return session

    async def check(self, owner: str, session_id: str) -> bool:
        """See `History`."""
        return session_id in self._sessions and bool(self._owned(owner, session_id))

    async def running(self, owner: str, session_id: str) -> list[str]:
        """See `History`."""
        if session_id not in self._sessions or self._sessions[session_id].owner != owner:
            return []
        of_session = (state for state in self._streams.values() if state.session_id == session_id)
        return [state.stream_id for state in of_session if state.outcome is None]

    async def known_key(self, owner: str, session_id: str, key: str) -> KnownKey | None:
        """See `History`."""
        if not await self.check(owner, session_id):
            return None
        return self._owned(owner, session_id).keys.get(key)

    async def admit(self, exchange: Exchange) -> Admission:
        """See `History`."""
        session = self._sessions.get(exchange.session_id)
        if session is None and exchange.asks:
            self._check_room(exchange.owner, of_exchange(exchange), adds_session=True)
            info = SessionInfo(
                session_id=exchange.session_id,
                title=title_of(exchange.prompt.content),
                created_at=exchange.created_at,
                updated_at=exchange.created_at,
            )
            session = self._sessions[exchange.session_id] = MemorySession(exchange.owner, info)
            self._count(session, 0, sessions=1)
        if session is None or session.owner != exchange.owner:
            raise SessionNotFound()
        if exchange.key is not None and (known := session.keys.get(exchange.key)) is not None:
            return Admission(known=known)
        self._check_room(exchange.owner, of_exchange(exchange))
        newest = session.messages[-1].message_id if session.messages else None
        admission = Admission(newest, session.info.options)
        if exchange.unasked and exchange.stream.continues in session.halted:
            raise CannotContinue("This answer was stopped by its user.")
        if exchange.stream.continues is not None:
            session.take_over(exchange)
        else:
            if exchange.asks:
                parent_id = newest if exchange.follows_newest else exchange.prompt.parent_id
                session.follow(msgspec.structs.replace(exchange.prompt, parent_id=parent_id))
                ids = (image.image_id for image in exchange.prompt.images)
                session.images |= zip(ids, exchange.pictures, strict=True)
            session.follow(msgspec.structs.replace(exchange.answer))
        session.info.updated_at = exchange.created_at
        self._count(session, of_exchange(exchange))
        if exchange.remember is not None:
            session.info.options = exchange.remember
            self._count_again(session)
        session.registered[exchange.stream.stream_id] = exchange.created_at
        self._streams[exchange.stream.stream_id] = exchange.stream
        if exchange.key is not None:
            session.keys[exchange.key] = KnownKey(exchange.stream.stream_id, exchange.request_hash)
        return admission

    async def halt(self, session_id: str, stream_id: str | None = None) -> None:
        """See `History`."""
        session = self._sessions.get(session_id)
        if session is None or not session.messages:
            return
        known = self._streams.get(stream_id) if stream_id is not None else None
        answer = known.message_id if known is not None else session.messages[-1].message_id
        session.halted |= {
            each
            for each in session.registered
            if each == stream_id
            or (self._streams[each].message_id, self._streams[each].outcome) == (answer, Outcome.INTERRUPTED)
        }

    async def withdraw(self, stream_id: str) -> None:
        """See `History`."""
        await self.discard(stream_id)
        state = self._streams.pop(stream_id, None)
        if state is None:
            return
        session = self._sessions[state.session_id]
        del session.registered[stream_id]
        session.keys = {key: known for key, known in session.keys.items() if known.stream_id != stream_id}
        if not session.registered:
            self._count(session, -session.bytes, sessions=-1)
            del self._sessions[session.info.session_id]

    def follow(self, stream_id: str, texts: GrowingText, reasoning: GrowingText) -> None:
        """See `History`. Does nothing: nothing in memory survives a crash."""

    async def finish(self, state: StreamState, content: str, reasoning: str) -> None:
        """See `History`."""
        session = self._sessions.get(state.session_id)
        if session is None:
            return
        self._streams[state.stream_id] = state
        session.info.updated_at = utc_now()
        message = session.find(state.message_id)
        if message is not None and message.stream_id == state.stream_id:
            before = of_message(message)
            message.content, message.reasoning = content, reasoning
            message.show(state)
            self._count(session, of_message(message) - before)

    async def discard(self, stream_id: str) -> None:
        """See `History`."""
        state = self._streams.get(stream_id)
        session = self._sessions.get(state.session_id) if state else None
        if state is None or session is None:
            return
        if state.continues is not None:
            answer, before = session.find(state.message_id), session.before.pop(stream_id, None)
            if answer is not None and before is not None and answer.stream_id == stream_id:
                before.content, before.reasoning = answer.content, answer.reasoning
                session.messages[session.messages.index(answer)] = before
            return
        gone = {message.message_id for message in session.messages if message.stream_id == stream_id}
        session.messages = without(session.messages, gone)
        left = {image.image_id for message in session.messages for image in message.images}
        session.images = {image_id: session.images[image_id] for image_id in left}
        self._count_again(session)

    async def stream(self, owner: str, stream_id: str) -> StreamState:
        """See `History`."""
        state = self._streams.get(stream_id)
        if state is None or self._sessions[state.session_id].owner != owner:
            raise StreamNotFound()
        return state

    async def interrupted(
        self, *, since: datetime, tries: int, limit: int, sessions: Collection[str] | None = None
    ) -> Sequence[Interrupted]:
        """See `History`. Always empty: interrupted answers are lost with the process."""
        del since, tries, limit, sessions
        return ()

    async def image(self, owner: str, image_id: str) -> ImageData:
        """See `History`."""
        for session in self._sessions.values():
            if session.owner == owner and image_id in session.images:
                return session.images[image_id]
        raise ImageNotFound()

    async def image_sizes(self, owner: str, image_ids: Collection[str]) -> dict[str, int]:
        """See `History`."""
        return {image_id: len((await self.image(owner, image_id)).data) for image_id in image_ids}

    async def session(self, owner: str, session_id: str) -> SessionInfo:
        """See `History`."""
        return msgspec.structs.replace(self._owned(owner, session_id).info)

    async def conversation(self, owner: str, session_id: str) -> Conversation:
        """See `History`."""
        session = self._owned(owner, session_id)
        messages = [msgspec.structs.replace(message) for message in session.messages]
        return Conversation(msgspec.structs.replace(session.info), messages)

    async def messages(self, owner: str, session_id: str) -> Sequence[Message]:
        """See `History`."""
        return (await self.conversation(owner, session_id)).messages

    async def excerpt(
        self, owner: str, session_id: str, through: str | None, part: MessageRange, *, entire: bool = False
    ) -> Excerpt:
        """See `History`."""
        del entire  # there is always all of it
        return excerpt_of(*await self.conversation(owner, session_id), through, part)

    async def some(self, owner: str, session_id: str, message_ids: Sequence[str]) -> list[Message]:
        """See `History`."""
        known = {message.message_id: message for message in self._owned(owner, session_id).messages}
        return [msgspec.structs.replace(known[message_id]) for message_id in message_ids]

    async def near(self, owner: str, session_id: str, message_id: str, most: int) -> list[Message]:
        """See `History`. Always all of it."""
        del message_id, most
        return (await self.conversation(owner, session_id)).messages

    async def records(self, owner: str, session_id: str) -> Records | None:
        """See `History`. No session is long: all of it is in memory already."""
        self._owned(owner, session_id)
        return None

    async def archived_messages(
        self, owner: str, session_id: str, message_ids: Sequence[str]
    ) -> list[ArchivedMessage]:
        """See `History`."""
        archive = await self.archive(owner, session_id)
        return [message for message in archive.messages if message.message_id in message_ids]

    async def archived_streams(
        self, owner: str, session_id: str, stream_ids: Sequence[str]
    ) -> list[ArchivedStream]:
        """See `History`."""
        archive = await self.archive(owner, session_id)
        return [stream for stream in archive.streams if stream.stream_id in stream_ids]

    async def sessions(
        self, owner: str, *, query: str = "", after: str | None = None, limit: int = 50
    ) -> Page:
        """See `History`."""
        own = [session for session in self._sessions.values() if session.owner == owner]
        own.sort(key=lambda session: place_of(session.info), reverse=True)
        if after is not None:
            own = [session for session in own if place_of(session.info) < after]
        if words := words_of(query.casefold()):
            return await self._search(owner, words, own, limit)
        page = [msgspec.structs.replace(session.info) for session in own[:limit]]
        return Page(page, place_of(page[-1]) if len(own) > limit else None)

    async def _search(
        self, owner: str, words: Sequence[str], own: Sequence[MemorySession], limit: int
    ) -> Page:
        """Search in a thread: it would keep the event loop busy for seconds."""
        candidates = [(msgspec.structs.replace(session.info), session.texts) for session in own]
        deadline = Deadline(SEARCH_SECONDS)
        async with self._searches.turn(owner):
            try:
                found, is_complete = await asyncio.to_thread(
                    _matching, candidates, words, limit + 1, deadline
                )
            finally:
                deadline.cancel()
        if not (found or is_complete):
            raise SearchTimeout
        page = found[:limit]
        return Page(page, place_of(page[-1]) if len(found) > limit or not is_complete else None)

    async def rename(self, owner: str, session_id: str, title: str) -> SessionInfo:
        """See `History`."""
        self._owned(owner, session_id).info.title = title
        return await self.session(owner, session_id)

    async def configure(self, owner: str, session_id: str, options: Options) -> SessionInfo:
        """See `History`."""
        session = self._owned(owner, session_id)
        if (more := of_options(options) - of_options(session.info.options)) > 0:
            self._check_room(owner, more)
        session.info.options = options
        self._count_again(session)
        return await self.session(owner, session_id)

    async def delete(self, owner: str, session_id: str, *, undoable: bool = False) -> None:
        """See `History`."""
        session = self._owned(owner, session_id)
        if undoable:
            self._deleted.put(owner, await self.archive(owner, session_id))
        else:
            self._deleted.drop(owner, session_id)
        self._count(session, -session.bytes, sessions=-1)
        del self._sessions[session_id]
        for stream_id in session.registered:
            del self._streams[stream_id]

    async def restorable(self, owner: str, session_id: str) -> str:
        """See `History`."""
        self._deleted.check(owner, session_id)
        return scoped(owner, secrets.token_urlsafe(12)) if session_id in self._sessions else session_id

    async def undelete(self, owner: str, session_id: str, back_as: str) -> None:
        """See `History`."""
        archive = self._deleted.take(owner, session_id)
        self._put(owner, msgspec.structs.replace(archive, session_id=back_as))

    async def archive(self, owner: str, session_id: str) -> Archive:
        """See `History`."""
        session = self._owned(owner, session_id)
        states = [(time, self._streams[stream_id]) for stream_id, time in session.registered.items()]
        images = {image_id: image.data for image_id, image in session.images.items()}
        return archived(session.info, session.messages, states, session.keys, images)

    @asynccontextmanager
    async def writing(self, owner: str, session_id: str) -> AsyncIterator[MemoryWriter]:
        """See `History`."""
        if session_id in self._sessions:
            raise SessionExists("A chat with this ID already exists.")
        yield MemoryWriter(partial(self.restore, owner))

    async def restore(self, owner: str, archive: Archive) -> None:
        """See `History`."""
        if archive.session_id in self._sessions:
            raise SessionExists("A chat with this ID already exists.")
        self._check_room(owner, of_archive(archive), adds_session=True)
        self._put(owner, archive)

    def _put(self, owner: str, archive: Archive) -> None:
        session = self._sessions[archive.session_id] = MemorySession(owner, info_of(archive))
        session.messages = messages_of(archive)
        session.keys = {key.key: KnownKey(key.stream_id, key.request_hash) for key in archive.keys}
        for state, stream in zip(states_of(archive), archive.streams, strict=True):
            session.registered[state.stream_id] = stream.created_at
            self._streams[state.stream_id] = state
        for image in (image for message in archive.messages for image in message.images):
            session.images[image.image_id] = ImageData(image.media_type, image.data)
        session.spare = of_spare_streams(archive)
        self._count(session, of_archive(archive), sessions=1)


def _matching(
    candidates: Sequence[tuple[SessionInfo, Sequence[str]]],
    words: Sequence[str],
    most: int,
    deadline: Deadline,
) -> tuple[list[SessionInfo], bool]:
    """Return the first sessions with each word in one of their texts, and whether the search came to its end."""
    found: list[SessionInfo] = []
    deadline.begin()
    try:
        for info, texts in candidates:
            if all(any(text_holds(text, word, deadline.check) for text in texts) for word in words):
                found.append(info)
                if len(found) == most:
                    break
    except OutOfTime:
        return found, False
    return found, True
