"""The channel that all pages of a session share: its log entries, with the rendered blocks of its answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from app.chat.ports import Logger
from app.chat.scoped_ids import bare
from app.log.answer_view import AnswerView
from app.log.entries import Begun, Entry, Start
from app.streams.session import Session
from app.web.events.channels import Channel, Follower, Piece
from app.web.events.encoders import FrameEncoder, passing
from app.web.events.response import chunk
from app.web.page.live.answer_blocks import AnswerBlocks, Closed
from app.web.page.live.events import BlockEvent, TailEvent
from app.web.page.live.renderer import Renderer

KEPT = 4  # answers whose blocks are kept for pages that are behind: the running one and those before it


class PageAnswer:
    """An answer of the session, with the frames of its blocks."""

    def __init__(
        self, channel: PageChannel, start: int, stream_id: str, message_id: str, begun: Begun, text: str
    ) -> None:
        self.start = start  # the sequence number of its `start`
        self.end: int | None = None  # the sequence number of its `end`
        self.stream_id = stream_id
        self.blocks: list[bytes] = []
        self.tail = b""  # the frame that reopens the last block of a continued answer
        self._channel = channel
        self._ids = (bare(channel.session.session_id), stream_id, message_id)
        self._live = AnswerBlocks(channel.renderer, self._on_late)
        if begun.content:
            self._keep(self._live.add(begun.content))
            self.tail = passing("tail", TailEvent(*self._ids, *self._live.open_again))
        if text:
            self._keep(self._live.add(text))

    @classmethod
    def of(cls, channel: PageChannel, view: AnswerView) -> PageAnswer:
        """Return an answer in progress, from the log's view of it."""
        text = str(view.text)
        return cls(channel, view.seq, view.stream_id, view.message_id, view.begun, text)

    @classmethod
    def begun(cls, channel: PageChannel, seq: int, start: Start) -> PageAnswer:
        """Return a new answer, from its `start` entry."""
        return cls(channel, seq, start.stream_id, start.message_id, start.continued or Begun(), "")

    def take(self, entry: Entry) -> list[bytes]:
        """Apply an entry of this answer; return the frames of the blocks that it closes."""
        if entry.name == "token":
            return self._keep(self._live.add(entry.text))
        if entry.name == "end":
            self.end = entry.seq
            return self._keep(self._live.finish())
        return []

    def close(self) -> None:
        """Stop rendering."""
        self._live.close()

    def _keep(self, closed: Sequence[Closed]) -> list[bytes]:
        frames = [passing("block", BlockEvent(*self._ids, *each)) for each in closed]
        self.blocks += frames
        return frames

    def _on_late(self, closed: Closed) -> None:
        (frame,) = self._keep([closed])
        self._channel.tell_late(self.stream_id, frame)


class PageChannel(Channel):
    """Listens to the log while any page watches the session, live or behind, and keeps the answers' blocks."""

    def __init__(self, session: Session, renderer: Renderer, logger: Logger) -> None:
        super().__init__(session, FrameEncoder(f"{bare(session.session_id)}/{session.log.epoch}-").encode)
        self.renderer = renderer
        self.answers: OrderedDict[str, PageAnswer] = OrderedDict()  # by stream
        self._logger = logger
        if session.log.answer is not None:
            self._add(PageAnswer.of(self, session.log.answer))
        session.log.listen(self._on_entry)

    def follow(self, follower: Follower) -> None:
        """See `Channel`."""
        self._followers = [*self._followers, follower]

    def forget(self, follower: Follower) -> None:
        """See `Channel`. Keeps listening to the log: pages that are behind need the blocks."""
        self._followers = [other for other in self._followers if other is not follower]

    def close(self) -> None:
        """See `Channel`."""
        super().close()
        for answer in self.answers.values():
            answer.close()

    def tell_late(self, stream_id: str, block: bytes) -> None:
        """Send a block that was rendered after the entry that closed it."""
        self._tell(Piece(0, stream_id, False, 1, block, chunk(block)))

    def _add(self, answer: PageAnswer) -> None:
        self.answers[answer.stream_id] = answer
        while len(self.answers) > KEPT:
            self.answers.popitem(last=False)[1].close()

    def _on_entry(self, entry: Entry) -> None:
        """Called by the log, synchronously: once for every token."""
        blocks: list[bytes] = []
        try:
            blocks = self._blocks(entry)
        except Exception as error:
            # The log calls this: a page's error must not propagate to it.
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
            answer = PageAnswer.begun(self, entry.seq, entry.event)
            self._add(answer)
            return list(answer.blocks)
        answer = self.answers[entry.stream_id]
        return answer.take(entry)

    def _data(self, entry: Entry, blocks: list[bytes]) -> bytes:
        data = self.encode(entry)
        if entry.name == "start":
            # The blocks of a continued answer come after its `start`: until then the page has no answer for them.
            answer = self.answers.get(entry.stream_id)
            return b"".join([data, answer.tail if answer else b"", *blocks])
        return b"".join([*blocks, data]) if blocks else data
