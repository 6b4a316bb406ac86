"""A history in memory: complete and fast, lost when the process ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from app.chat.archive import Archive, size
from app.chat.branches import without
from app.chat.errors import (
    AnswerMoved,
    ArchiveTooLarge,
    ImageNotFound,
    SessionExists,
    SessionNotFound,
    StreamNotFound,
)
from app.chat.ports import ImageData, Options
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
from app.history.archive_records import archived, info_of, messages_of, states_of
from app.history.session_list import place_of, title_of, utc_now, words_of


class MemorySession:
    """Everything that is remembered of one session."""

    def __init__(self, owner: str, info: SessionInfo) -> None:
        self.owner = owner
        self.info = info
        self.messages: list[Message] = []
        self.keys: dict[str, KnownKey] = {}
        self.streams: set[str] = set()

    def follow(self, message: Message) -> None:
        """Put a message behind the one that it follows."""
        there = [before.message_id for before in self.messages]
        if message.parent_id is not None and message.parent_id not in there:
            message.parent_id = there[-1] if there else None
        self.messages.append(message)

    def find(self, message_id: str) -> Message | None:
        """Return a message."""
        return next((message for message in self.messages if message.message_id == message_id), None)


class MemoryHistory:
    """`History` in memory. No method suspends, so each call is atomic."""

    def __init__(self) -> None:
        self._sessions: dict[str, MemorySession] = {}
        self._streams: dict[str, StreamState] = {}
        self._registered: dict[str, str | None] = {}  # registration time by stream
        self._images: dict[str, bytes] = {}
        self._before: dict[str, Message] = {}  # by stream: the answer before that stream continued it

    def __repr__(self) -> str:
        return f"<MemoryHistory sessions={len(self._sessions)} streams={len(self._streams)}>"

    def _owned(self, owner: str, session_id: str) -> MemorySession:
        session = self._sessions.get(session_id)
        if session is None or session.owner != owner:
            raise SessionNotFound()
        return session

    async def check(self, owner: str, session_id: str) -> bool:
        """See `History`."""
        return session_id in self._sessions and bool(self._owned(owner, session_id))

    async def known_key(self, owner: str, session_id: str, key: str) -> KnownKey | None:
        """See `History`."""
        if not await self.check(owner, session_id):
            return None
        return self._owned(owner, session_id).keys.get(key)

    async def standing(self, owner: str, session_id: str) -> SessionHead:
        """See `History`."""
        if not await self.check(owner, session_id):
            return SessionHead()
        session = self._owned(owner, session_id)
        newest = session.messages[-1].message_id if session.messages else None
        return SessionHead(newest, session.info.options)

    async def admit(self, exchange: Exchange) -> None:
        """See `History`."""
        session = self._sessions.get(exchange.session_id)
        if session is None and exchange.asks:
            info = SessionInfo(
                session_id=exchange.session_id,
                title=title_of(exchange.prompt.content),
                created_at=exchange.created_at,
                updated_at=exchange.created_at,
            )
            session = self._sessions[exchange.session_id] = MemorySession(exchange.owner, info)
        if session is None or session.owner != exchange.owner:
            raise SessionNotFound()
        if exchange.stream.continues is not None:
            self._take_over(session, exchange)
        else:
            for message in (exchange.prompt, exchange.answer) if exchange.asks else (exchange.answer,):
                session.follow(msgspec.structs.replace(message))
        if exchange.asks:
            for image, picture in zip(exchange.prompt.images, exchange.pictures, strict=True):
                self._images[image.image_id] = picture.data
        session.info.updated_at = exchange.created_at
        session.info.options = exchange.remember or session.info.options
        session.streams.add(exchange.stream.stream_id)
        self._streams[exchange.stream.stream_id] = exchange.stream
        self._registered[exchange.stream.stream_id] = exchange.created_at
        if exchange.key is not None:
            session.keys[exchange.key] = KnownKey(exchange.stream.stream_id, exchange.request_hash)

    def _take_over(self, session: MemorySession, exchange: Exchange) -> None:
        """Assign the answer to the new stream. Raises `AnswerMoved` if another stream has already continued it."""
        answer = session.find(exchange.answer.message_id)
        if answer is None or answer.stream_id != exchange.stream.continues:
            raise AnswerMoved("This answer is already being continued.")
        self._before[exchange.stream.stream_id] = msgspec.structs.replace(answer)
        _show(answer, exchange.stream)

    async def withdraw(self, stream_id: str) -> None:
        """See `History`."""
        await self.discard(stream_id)
        state = self._streams.pop(stream_id, None)
        if state is None:
            return
        session = self._sessions[state.session_id]
        session.streams.remove(stream_id)
        self._registered.pop(stream_id, None)
        session.keys = {key: known for key, known in session.keys.items() if known.stream_id != stream_id}
        if not session.streams:
            del self._sessions[session.info.session_id]

    def follow(self, stream_id: str, texts: list[str], reasoning: list[str]) -> None:
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
            message.content, message.reasoning = content, reasoning
            _show(message, state)

    async def discard(self, stream_id: str) -> None:
        """See `History`."""
        state = self._streams.get(stream_id)
        session = self._sessions.get(state.session_id) if state else None
        if state is None or session is None:
            return
        if state.continues is not None:
            answer, before = session.find(state.message_id), self._before.pop(stream_id, None)
            if answer is not None and before is not None and answer.stream_id == stream_id:
                before.content, before.reasoning = answer.content, answer.reasoning
                session.messages[session.messages.index(answer)] = before
            return
        gone = {message.message_id for message in session.messages if message.stream_id == stream_id}
        session.messages = without(session.messages, gone)

    async def stream(self, owner: str, stream_id: str) -> StreamState:
        """See `History`."""
        state = self._streams.get(stream_id)
        if state is None or self._sessions[state.session_id].owner != owner:
            raise StreamNotFound()
        return state

    async def interrupted(self, *, since: datetime, tries: int, limit: int) -> Sequence[Interrupted]:
        """See `History`. Always empty: interrupted answers are lost with the process."""
        del since, tries, limit
        return ()

    async def image(self, owner: str, image_id: str) -> ImageData:
        """See `History`."""
        for session in self._sessions.values():
            for message in session.messages if session.owner == owner else ():
                for image in message.images:
                    if image.image_id == image_id:
                        return ImageData(image.media_type, self._images[image_id])
        raise ImageNotFound()

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
        return [msgspec.structs.replace(message) for message in self._owned(owner, session_id).messages]

    async def sessions(
        self, owner: str, *, query: str = "", after: str | None = None, limit: int = 50
    ) -> Page:
        """See `History`."""
        words = words_of(query.casefold())
        found = [
            session.info
            for session in self._sessions.values()
            if session.owner == owner and _holds(session, words)
        ]
        found.sort(key=_age, reverse=True)
        if after is not None:
            found = [info for info in found if place_of(info) < after]
        page = [msgspec.structs.replace(info) for info in found[:limit]]
        return Page(page, place_of(page[-1]) if len(found) > limit else None)

    async def rename(self, owner: str, session_id: str, title: str) -> SessionInfo:
        """See `History`."""
        self._owned(owner, session_id).info.title = title
        return await self.session(owner, session_id)

    async def configure(self, owner: str, session_id: str, options: Options) -> SessionInfo:
        """See `History`."""
        self._owned(owner, session_id).info.options = options
        return await self.session(owner, session_id)

    async def delete(self, owner: str, session_id: str) -> None:
        """See `History`."""
        session = self._owned(owner, session_id)
        del self._sessions[session_id]
        for stream_id in session.streams:
            del self._streams[stream_id]
            self._registered.pop(stream_id, None)
            self._before.pop(stream_id, None)
        for message in session.messages:
            for image in message.images:
                self._images.pop(image.image_id, None)

    async def archive(self, owner: str, session_id: str, *, most: int | None = None) -> Archive:
        """See `History`."""
        session = self._owned(owner, session_id)
        states = [(self._registered[stream_id], self._streams[stream_id]) for stream_id in session.streams]
        archive = archived(session.info, session.messages, states, session.keys, self._images)
        if most is not None and size(archive) > most:
            raise ArchiveTooLarge(f"This chat is larger than {most} bytes.")
        return archive

    async def restore(self, owner: str, archive: Archive) -> None:
        """See `History`."""
        if archive.session_id in self._sessions:
            raise SessionExists("A chat with this ID already exists.")
        session = self._sessions[archive.session_id] = MemorySession(owner, info_of(archive))
        session.messages = messages_of(archive)
        session.keys = {key.key: KnownKey(key.stream_id, key.request_hash) for key in archive.keys}
        for state, stream in zip(states_of(archive), archive.streams, strict=True):
            session.streams.add(state.stream_id)
            self._streams[state.stream_id] = state
            self._registered[state.stream_id] = stream.created_at
        for message in archive.messages:
            self._images.update({picture.image_id: picture.data for picture in message.images})


def _show(answer: Message, state: StreamState) -> None:
    """Copy the outcome and the figures of a stream to the answer that it writes."""
    answer.stream_id, answer.model = state.stream_id, state.model
    answer.outcome, answer.finish_reason = state.outcome, state.finish_reason
    answer.error = state.error or None
    answer.show_figures(state if state.outcome else None)


def _age(info: SessionInfo) -> tuple[str, str]:
    return info.updated_at, info.session_id


def _holds(session: MemorySession, words: Sequence[str]) -> bool:
    if not words:
        return True
    texts = [session.info.title.casefold(), *(message.content.casefold() for message in session.messages)]
    return all(any(word in text for text in texts) for word in words)
