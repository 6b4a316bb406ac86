"""The channel of viewers that get rendered answers: the log entries of a session, with the blocks of its answers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from app.chat.ports import Logger
from app.chat.scoped_ids import bare
from app.log.answer_view import AnswerView
from app.log.entries import Begun, Entry, Start
from app.streams.session import Session
from app.web.blocks.answer_blocks import AnswerBlocks, Closed
from app.web.blocks.events import BlockEvent, TailEvent
from app.web.blocks.renderer import Renderer
from app.web.events import encoders
from app.web.events.channels import Channel, Follower, Piece
from app.web.events.encoders import Encoder, FrameEncoder
from app.web.events.response import EventStream, LineStream, chunk

KEPT = 4  # answers whose blocks are kept for viewers that are behind: the running one and those before it


class Format(NamedTuple):
    """How a channel encodes entries, and events without an id."""

    encode: Encoder
    passing: Callable[[str, msgspec.Struct], bytes]


class RenderedAnswer:
    """An answer of the session, with the frames of its blocks."""

    def __init__(
        self, channel: BlockChannel, start: int, stream_id: str, message_id: str, begun: Begun, text: str
    ) -> None:
        self.start = start  # the sequence number of its `start`
        self.end: int | None = None  # the sequence number of its `end`
        self.stream_id = stream_id
        self.blocks: list[bytes] = []
        self.tail = b""  # the frame that reopens the last block of a continued answer
        self._channel = channel
        self._ids = (bare(channel.session.session_id), stream_id, message_id)
        self._live = AnswerBlocks(channel.renderer, self._on_late, self._on_settled)
        if begun.content:
            self._keep(self._live.add(begun.content))
            self.tail = channel.passing("tail", TailEvent(*self._ids, *self._live.open_again))
        if text:
            self._keep(self._live.add(text))

    @classmethod
    def of(cls, channel: BlockChannel, view: AnswerView) -> RenderedAnswer:
        """Return an answer in progress, from the log's view of it."""
        text = str(view.text)
        return cls(channel, view.seq, view.stream_id, view.message_id, view.begun, text)

    @classmethod
    def begun(cls, channel: BlockChannel, seq: int, start: Start) -> RenderedAnswer:
        """Return a new answer, from its `start` entry."""
        return cls(channel, seq, start.stream_id, start.message_id, start.continued or Begun(), "")

    @property
    def is_complete(self) -> bool:
        """Whether the answer has ended and no block is to come."""
        return self.end is not None and self._live.is_complete

    def take(self, entry: Entry) -> list[bytes]:
        """Apply an entry of this answer; return the frames of the blocks that it closes."""
        if entry.name == "token":
            return self._keep(self._live.add(entry.text))
        if entry.name == "end":
            self.end = entry.seq
            return self._keep(self._live.finish())
        return []

    async def settled(self) -> None:
        """Wait until the text so far is rendered."""
        await self._live.settled()

    def close(self) -> None:
        """Stop rendering."""
        self._live.close()

    def _keep(self, closed: Sequence[Closed]) -> list[bytes]:
        frames = [self._channel.passing("block", BlockEvent(*self._ids, *each)) for each in closed]
        self.blocks += frames
        return frames

    def _on_late(self, closed: Closed) -> None:
        (frame,) = self._keep([closed])
        self._channel.tell_late(self, frame)

    def _on_settled(self) -> None:
        self._channel.tell_settled(self)


class BlockChannel(Channel):
    """Listens to the log while anybody watches the session, live or behind, and keeps the answers' blocks."""

    def __init__(self, session: Session, form: Format, renderer: Renderer, logger: Logger) -> None:
        super().__init__(session, form.encode)
        self.passing = form.passing
        self.renderer = renderer
        self.answers: OrderedDict[str, RenderedAnswer] = (
            OrderedDict()
        )  # by stream; those seen since it opened
        self._recalled: OrderedDict[str, RenderedAnswer] = OrderedDict()  # by stream; they had ended before
        self._logger = logger
        if session.log.answer is not None:
            self._add(self.answers, RenderedAnswer.of(self, session.log.answer))
        session.log.listen(self._on_entry)

    def __iter__(self) -> Iterator[RenderedAnswer]:
        yield from self._recalled.values()
        yield from self.answers.values()

    def find(self, stream_id: str) -> RenderedAnswer | None:
        """Return the answer of a stream, if its blocks are kept."""
        return self.answers.get(stream_id) or self._recalled.get(stream_id)

    def follow(self, follower: Follower) -> None:
        """See `Channel`."""
        self._followers = [*self._followers, follower]

    def forget(self, follower: Follower) -> None:
        """See `Channel`. Keeps listening to the log: viewers that are behind need the blocks."""
        self._followers = [other for other in self._followers if other is not follower]

    def close(self) -> None:
        """See `Channel`."""
        super().close()
        for answer in self:
            answer.close()

    async def recall(self, after: int) -> None:
        """Render the newest answers in the log after sequence number `after` that ended before the channel opened."""
        for stream_id in (await self._unknown(after))[-KEPT:]:
            before = self.session.log.before(stream_id)
            answer = None if before is None else await self._render_again(before, stream_id)
            if answer is not None:
                self._add(self._recalled, answer)

    async def _unknown(self, after: int) -> list[str]:
        found: dict[str, None] = {}
        head = self.session.log.head
        while after < head:
            entries, after = self.session.log.read(after)
            found.update(dict.fromkeys(entry.stream_id for entry in entries))
            await asyncio.sleep(0)  # a log of many megabytes must not keep others waiting
        return [stream_id for stream_id in found if self.find(stream_id) is None]

    async def _render_again(self, before: int, stream_id: str) -> RenderedAnswer | None:
        answer: RenderedAnswer | None = None
        while answer is None or answer.end is None:
            entries, before = self.session.log.read(before, stream_id)
            if not entries:
                return None  # it is not over, or the log has dropped it meanwhile
            for entry in entries:
                if isinstance(entry.event, Start):
                    answer = RenderedAnswer.begun(self, entry.seq, entry.event)
                elif answer is not None:
                    answer.take(entry)
                    await answer.settled()
        await answer.settled()
        return answer

    def tell_late(self, answer: RenderedAnswer, block: bytes) -> None:
        """Send a block that was rendered after the entry that closed it."""
        if self.answers.get(answer.stream_id) is answer:
            self._tell(Piece(0, answer.stream_id, False, 1, block, chunk(block)))

    def tell_settled(self, answer: RenderedAnswer) -> None:
        """Let those who watch a single answer end their response."""
        if self.answers.get(answer.stream_id) is answer:
            self._tell(Piece(0, answer.stream_id, True, 0, b"", b""))

    @staticmethod
    def _add(answers: OrderedDict[str, RenderedAnswer], answer: RenderedAnswer) -> None:
        answers[answer.stream_id] = answer
        while len(answers) > KEPT:
            answers.popitem(last=False)[1].close()

    def _on_entry(self, entry: Entry) -> None:
        """Called by the log, synchronously: once for every token."""
        blocks: list[bytes] = []
        try:
            blocks = self._blocks(entry)
        except Exception as error:
            # The log calls this: an error in rendering must not propagate to it.
            session_id = self.session.session_id
            self._logger.error("blocks_failed", trace=entry.stream_id, session=session_id, exc_info=error)
        try:
            data = self._data(entry, blocks)
        except Exception as error:  # noqa: BLE001 - each follower reports it
            self._fail(error)
        else:
            is_end = entry.name == "end"
            self._tell(Piece(entry.seq, entry.stream_id, is_end, len(blocks), data, chunk(data)))

    def _blocks(self, entry: Entry) -> list[bytes]:
        """Return the frames of the blocks that an entry closes. Raises `KeyError` for an unknown stream."""
        if isinstance(entry.event, Start):
            answer = RenderedAnswer.begun(self, entry.seq, entry.event)
            self._add(self.answers, answer)
            return list(answer.blocks)
        answer = self.answers[entry.stream_id]
        return answer.take(entry)

    def _data(self, entry: Entry, blocks: list[bytes]) -> bytes:
        data = self.encode(entry)
        if entry.name == "start":
            # The blocks of a continued answer come after its `start`: until then nobody has an answer for them.
            answer = self.answers.get(entry.stream_id)
            return b"".join([data, answer.tail if answer else b"", *blocks])
        return b"".join([*blocks, data]) if blocks else data


def page_format(session: Session) -> Format:
    """Return the format of pages, whose response carries several sessions: ids say which one."""
    return Format(
        FrameEncoder(f"{bare(session.session_id)}/{session.log.epoch}-").encode, EventStream.passing
    )


def sse_format(session: Session) -> Format:
    """Return the format of EventSource."""
    return Format(FrameEncoder(f"{session.log.epoch}-").encode, EventStream.passing)


def ndjson_format(_: Session) -> Format:
    """Return the format of NDJSON."""
    return Format(encoders.ndjson, LineStream.passing)
