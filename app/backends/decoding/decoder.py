"""What the decoders of the wire formats share: gathering deltas, and the port that a generation feeds."""

from __future__ import annotations

from typing import Protocol

from app.chat.ports import Delta, Kind, Usage


class Decoder(Protocol):
    """Turns the bytes of one answer into deltas. It does no I/O, so it can be fed in any pieces."""

    done: bool  # the answer is complete
    finished: bool  # the model has said why it ended; nothing but usage and an end mark can follow
    finish_reason: str | None
    usage: Usage | None
    complaint: bytes | None  # the error that the server sent in the place of an answer, or in it, as it came

    def feed(self, data: bytes) -> None:
        """Take in what has arrived. Raises `UpstreamError`; deltas from before it can still be taken."""
        ...

    def flush(self, *, broken: bool = False) -> None:
        """Take in what an ended connection left unfinished; `broken` says that it did not end cleanly.

        Raises `UpstreamError` if the answer is not complete then.
        """
        ...

    def take(self) -> list[Delta]:
        """Return the deltas gathered since the last call."""
        ...


class DeltaBuffer:
    """Gathers pieces in order; neighbours of one kind become one delta."""

    def __init__(self) -> None:
        self.done = False
        self.finished = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.complaint: bytes | None = None
        self._deltas: list[Delta] = []

    def add(self, kind: Kind, text: str) -> None:
        """Append one piece as the model server sent it."""
        deltas = self._deltas
        if deltas and deltas[-1].kind == kind:
            deltas[-1].texts.append(text)
        else:
            deltas.append(Delta(kind, [text]))

    def take(self) -> list[Delta]:
        """See `Decoder`."""
        deltas = self._deltas
        if deltas:
            self._deltas = []
        return deltas
