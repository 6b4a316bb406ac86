"""Splits bytes from a socket into lines, for any chunking."""

from __future__ import annotations

from app.chat.errors import UpstreamGarbled

MAX_LINE = 16 * 1024 * 1024  # bytes; no model server sends longer lines in its protocol


class LineSplitter:
    """Splits bytes at LF, CRLF or CR, in linear time.

    The pieces of an unfinished line are joined only once, when its end arrives.
    """

    __slots__ = ("_after_cr", "_limit", "_pieces", "held")

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.held = 0  # bytes of an unfinished line
        self._after_cr = False  # a LF that comes next belongs to the CR that ended the last line

    def __repr__(self) -> str:
        return f"<LineSplitter held={self.held}>"

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, without line ends. Raises `UpstreamGarbled` past the limit."""
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == 10:
                data = data[1:]
        if not data:
            return []
        lines = data.splitlines()  # bytes split on LF, CRLF and CR only, unlike str
        last = data[-1]
        rest = b"" if last in (10, 13) else lines.pop()
        self._after_cr = last == 13
        if lines and self._pieces:
            lines[0] = self._complete(lines[0])
        if rest:
            self._hold(rest)
        return lines

    def flush(self) -> list[bytes]:
        """Return the last line if it has no line end."""
        return [self._complete(b"")] if self._pieces else []

    def _hold(self, piece: bytes) -> None:
        self.held += len(piece)
        if self.held > self._limit:
            raise UpstreamGarbled(f"The model server sent a line of more than {self._limit:,} bytes.")
        self._pieces.append(piece)

    def _complete(self, piece: bytes) -> bytes:
        self._pieces.append(piece)
        line = b"".join(self._pieces)
        self._pieces.clear()
        self.held = 0
        return line
