"""Splits what arrives from a socket into lines, however it was cut into pieces."""

from __future__ import annotations

from app.chat.errors import UpstreamGarbled

MAX_LINE = 16 * 1024 * 1024  # bytes; a model server that sends more in one line is not speaking its protocol


class LineSplitter:
    """Cuts bytes into lines ended by LF, CRLF or CR, in time linear in their number.

    The pieces of an unfinished line are kept apart and joined once, when its end arrives.
    """

    __slots__ = ("_after_cr", "_limit", "_pieces", "held")

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.held = 0  # bytes of an unfinished line
        self._after_cr = False  # a LF that comes now belongs to a CR that ended the last line

    def __repr__(self) -> str:
        return f"<LineSplitter held={self.held}>"

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, without ends. Raises `UpstreamGarbled` past the limit."""
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
        """Return the last line if the bytes ended without a line end."""
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
