"""The port of a decoder, which a generation feeds, and the buffer of deltas that decoders share."""

from __future__ import annotations

from typing import Protocol

from app.chat.ports import Delta, Kind, Usage


class Decoder(Protocol):
    """Converts the bytes of one answer to deltas. Does no I/O; accepts the bytes in any chunks."""

    done: bool  # the answer is complete
    finished: bool  # the model has given a finish reason; only usage and an end mark can follow
    finish_reason: str | None
    usage: Usage | None
    complaint: bytes | None  # the raw error that the server sent instead of an answer, or within it
    media_type: str  # of the response, in lower case: it only explains what is no answer

    def feed(self, data: bytes) -> None:
        """Process received bytes. Raises `UpstreamError`; deltas from before the error can still be taken."""

    def flush(self, *, broken: bool = False) -> None:
        """Process unfinished input after the connection ended; `broken` if it did not end cleanly.

        Raises `UpstreamError` if the answer is incomplete.
        """

    def take(self) -> list[Delta]:
        """Return the deltas since the last call."""


class DeltaBuffer:
    """Collects pieces in order; consecutive pieces of one kind become one delta."""

    def __init__(self) -> None:
        self.done = False
        self.finished = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.complaint: bytes | None = None
        self.media_type = ""
        self._deltas: list[Delta] = []

    def add(self, kind: Kind, text: str) -> None:
        """Append one piece."""
        deltas = self._deltas
        if deltas and deltas[-1].kind == kind:
            deltas[-1].texts.append(text)
        else:
            deltas.append(Delta(kind, [text]))

    def add_all(self, kind: Kind, texts: list[str]) -> None:
        """Append pieces of one kind."""
        deltas = self._deltas
        if deltas and deltas[-1].kind == kind:
            deltas[-1].texts.extend(texts)
        elif texts:
            deltas.append(Delta(kind, texts))

    def take(self) -> list[Delta]:
        """See `Decoder`."""
        deltas = self._deltas
        if deltas:
            self._deltas = []
        return deltas
