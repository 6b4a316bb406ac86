"""The body of an answer, a slice at a time: how much is decoded at once, and how much may be no part of the answer."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp

from app.backends.http.client import BROKEN
from app.chat.ports import Delta

# Bytes of a slice. The largest may be followed by what takes a hundred times as long: still less than 50 ms.
SMALLEST, FIRST, LARGEST = 1024, 8 * 1024, 32 * 1024
TURN = 0.002  # seconds of processor time that decoding a slice should take
PER_LINE = 128  # bytes that a line without text counts beside its own
PER_TEXT = 4 * 1024  # bytes that may come with each piece of text: ids, probabilities, usage
MOST_JUNK = 24 * 1024 * 1024  # bytes, by these weights, that may come without text; images are megabytes


class Slices:
    """Keeps a flood from blocking the event loop, and from going on for ever.

    `size` is the number of bytes to decode next. It follows the time that the last slice took, which depends on what
    the server sends: a byte of usual text takes 15 ns, one of short lines in rare shapes 1,000.
    """

    __slots__ = ("_junk", "_rest", "broken", "size")

    def __init__(self) -> None:
        self.size = FIRST
        self.broken: Exception | None = None  # how the connection broke
        self._rest = b""  # received before that, and not returned yet
        self._junk = 0

    @property
    def is_slow(self) -> bool:
        """Whether decoding is slow, or its speed is not known yet, so that others may have to wait for it."""
        return self.size <= FIRST

    def __repr__(self) -> str:
        return f"<Slices size={self.size} junk={self._junk} broken={self.broken!r}>"

    async def next(self, content: aiohttp.StreamReader) -> bytes:
        """Wait for data and return a slice; empty at the end, or once everything from before a break was returned."""
        if self.broken is None:
            try:
                return await content.read(self.size)
            except BROKEN as error:
                self.broken = error
                # aiohttp raises before it returns the bytes still buffered; there is no public API for them.
                self._rest = content._read_nowait(-1)
        data, self._rest = self._rest[: self.size], self._rest[self.size :]
        return data

    def count(self, data: bytes, deltas: Sequence[Delta], seconds: float) -> bool:
        """Count a slice, the texts in it, and the processor time of decoding it. Return whether the server may go on.

        Usual reads, of less than `SMALLEST` bytes and with text, need not be counted.
        """
        if len(data) >= SMALLEST:
            size = int(len(data) * TURN / max(seconds, 1e-6))
            self.size = max(SMALLEST, min(size, 2 * self.size, LARGEST))
        texts = sum([len(delta.texts) for delta in deltas])
        if len(data) > PER_TEXT * texts // 2:  # else they are short and few
            lines = data.count(b"\n") + data.count(b"\r")
            self._junk += max(0, len(data) + PER_LINE * lines - PER_TEXT * texts)
        return self._junk <= MOST_JUNK
