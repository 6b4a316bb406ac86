"""One session on a response that carries rendered answers."""

from __future__ import annotations

from collections.abc import Sequence

from app.log.entries import Entry
from app.streams.session import Session
from app.web.blocks.channel import BlockChannel, RenderedAnswer
from app.web.events.channels import Piece
from app.web.events.live_viewer import LiveViewer, Watch


class BlockWatch(Watch):
    """A position in the log of a session, and the number of blocks sent of each answer."""

    def __init__(self, viewer: LiveViewer, session: Session, channel: BlockChannel, after: int) -> None:
        super().__init__(viewer, session, channel, after)
        self.channel: BlockChannel = channel
        # The client has all blocks of an answer that ended by `after`, from a snapshot or an earlier connection.
        self._shown = {
            answer.stream_id: len(answer.blocks)
            for answer in channel
            if answer.end is not None and answer.end <= after
        }

    def _encoded(self, entries: Sequence[Entry]) -> bytes:
        pieces: list[bytes] = []
        for entry in entries:
            answer = self.channel.find(entry.stream_id)
            if answer is None:
                # It ended before the channel existed, so only the snapshot has its blocks.
                return b"".join([*pieces, self._leave(self._reset("expired"))])
            pieces += self._piece(entry, answer)
        for answer in self.channel:
            if answer.start <= self._after and self._is_wanted(answer.stream_id):
                pieces += self._blocks(answer)
        return b"".join(pieces)

    def _piece(self, entry: Entry, answer: RenderedAnswer) -> list[bytes]:
        blocks = self._blocks(answer) if entry.name in ("token", "end") else []
        opening = [answer.tail] if entry.name == "start" else []
        return [*blocks, self.channel.encode(entry), *opening]

    def _blocks(self, answer: RenderedAnswer) -> list[bytes]:
        shown = self._shown.get(answer.stream_id, 0)
        self._shown[answer.stream_id] = len(answer.blocks)
        return answer.blocks[shown:]

    def _is_wanted(self, stream_id: str) -> bool:
        return self._stream_id is None or stream_id == self._stream_id

    def _take(self, piece: Piece) -> None:
        if not self._is_wanted(piece.stream_id):
            self._after = piece.last or self._after
        elif piece.data and self._viewer.write(piece):
            self._after = piece.last or self._after
            if piece.blocks:
                self._shown[piece.stream_id] = self._shown.get(piece.stream_id, 0) + piece.blocks
