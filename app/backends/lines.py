"""Splits what arrives from a socket into lines and server-sent events, however it was cut into pieces."""

from __future__ import annotations

from app.streams.errors import UpstreamGarbled

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


class EventSplitter:
    """Cuts bytes into the `data` of server-sent events, after the WHATWG's rules for `text/event-stream`.

    Comments and the fields `event`, `id` and `retry` are skipped: model servers say everything in `data`.
    """

    __slots__ = ("_data", "_held", "_limit", "_lines", "_started")

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._lines = LineSplitter(limit)
        self._data: list[bytes] = []
        self._held = 0
        self._started = False

    def __repr__(self) -> str:
        return f"<EventSplitter held={self._held} lines={self._lines!r}>"

    def feed(self, data: bytes) -> list[bytes]:
        """Return the data of the events that `data` completes. Raises `UpstreamGarbled` past the limit."""
        return self._gather(self._lines.feed(data))

    def flush(self) -> list[bytes]:
        """Return the last event if the bytes ended without the blank line that completes it.

        The standard drops it. Some model servers end so after `[DONE]`, and nothing is gained by refusing it.
        """
        return self._gather([*self._lines.flush(), b""])

    def _gather(self, lines: list[bytes]) -> list[bytes]:
        if lines and not self._started:
            self._started = True
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        events: list[bytes] = []
        for line in lines:
            if not line:
                self._dispatch(events)
            elif line.startswith(b"data: "):
                self._hold(line[6:])
            elif line.startswith(b"data:"):
                self._hold(line[5:])
            elif line == b"data":
                self._hold(b"")
        return events

    def _hold(self, value: bytes) -> None:
        self._held += len(value)
        if self._held > self._limit:
            raise UpstreamGarbled(f"The model server sent an event of more than {self._limit:,} bytes.")
        self._data.append(value)

    def _dispatch(self, events: list[bytes]) -> None:
        if self._data:
            events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
            self._data.clear()
            self._held = 0
