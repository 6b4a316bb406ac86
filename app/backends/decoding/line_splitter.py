"""Splits bytes from a socket into lines, for any chunking."""

from __future__ import annotations

import string

from app.backends.decoding.room import FREE, Room
from app.chat.errors import UpstreamGarbled

MAX_LINE = 16 * 1024 * 1024  # bytes; no model server sends longer lines in its protocol
PIECE = 4 * 1024  # bytes; shorter pieces of an unfinished line are joined as they come
LONG_RUN = 128 * 1024  # bytes of Base64 after which the rest of it is dropped
BASE64 = (string.ascii_letters + string.digits + "+/=-_").encode()


class LineSplitter:
    """Splits bytes at LF, CRLF or CR, in linear time.

    An unfinished line takes memory from `room`. Of a long run of Base64 only the start is kept: some servers put
    images, audio or files into their lines, which nothing reads, and a text has white space much earlier.
    """

    __slots__ = ("__weakref__", "_after_cr", "_kept", "_limit", "_room", "_run", "_size", "granted", "held")

    def __init__(self, limit: int = MAX_LINE, room: Room | None = None) -> None:
        self._limit = limit
        self._room = room or Room()
        # Of an unfinished line. Pieces, since many byte arrays that grow at the same time leave the heap in pieces.
        self._kept: list[bytes] = []
        self._size = 0  # bytes in `_kept`
        self._run = 0  # bytes at its end that are Base64, counted by whole pieces
        self.held = 0  # bytes of an unfinished line, with those that were dropped
        self.granted = FREE  # see `Holder`
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
        if lines and self.held:
            lines[0] = self._complete(lines[0])
        if rest:
            self._hold(rest)
        return lines

    def flush(self) -> list[bytes]:
        """Return the last line if it has no line end."""
        return [self._complete(b"")] if self.held else []

    def _hold(self, piece: bytes) -> None:
        self.held += len(piece)
        if self.held > self._limit:
            raise UpstreamGarbled(f"The model server sent a line of more than {self._limit:,} bytes.")
        if self.held > LONG_RUN:
            if piece.strip(BASE64):
                self._run = 0
            else:
                self._run += len(piece)
                if self._run > LONG_RUN:
                    return
        if self._kept and len(self._kept[-1]) < PIECE:
            self._kept[-1] += piece
        else:
            self._kept.append(piece)
        self._size += len(piece)
        if not self._room.grants(self, self._size):
            raise UpstreamGarbled(f"The model server sent a line of more than {self._size:,} bytes.")

    def _complete(self, piece: bytes) -> bytes:
        line = b"".join((*self._kept, piece))
        self._kept = []
        self._size = self.held = self._run = 0
        self.granted = FREE
        return line
