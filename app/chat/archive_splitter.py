"""Splits an exported session, as its bytes arrive, into its messages, its streams, and the rest.

A parser that takes a whole file holds the interpreter for half a second and needs many times the size of the file. Here
only brackets and strings are told apart; each part is then parsed by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

DEPTH = 32  # of brackets in brackets; an export has 5
REST_BYTES = 1024 * 1024  # of what is neither a message nor a stream
LISTS = ("messages", "streams")

# Everything up to the next bracket, with whole strings (RFC 8259, section 7). Groups are not possessive: before CPython
# 3.11.5 such groups match wrongly (python/cpython#106052).
_UP_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*"[^"{}\[\]]*+)*', re.DOTALL)
_IN_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*', re.DOTALL)
_KEY = re.compile(rb'[{,]\s*"(messages|streams)"\s*:\s*$')
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_OPENING, _CLOSING = b"{[", b"}]"
_BLANK = b" \t\r\n"

CHOOSE = "Choose a file saved with “Export as JSON”."  # what to do
AGAIN = "Export the chat again."


class SplitError(ValueError):
    """The data cannot be split. The message is a sentence; `is_json` tells whether it might be JSON."""

    def __init__(self, sentence: str, *, is_json: bool) -> None:
        super().__init__(sentence)
        self.is_json = is_json


class Part(NamedTuple):
    """A member of `messages` or `streams`: its list, its place there, and its bytes, which may be malformed."""

    of: str
    place: int
    data: bytes


class Splitter:
    """Takes bytes and yields parts. `rest` has everything else in the end. `most` bounds a part, in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._buffer = bytearray()  # not scanned yet, or part of something that has not ended
        self._at = 0  # how far it was scanned
        self._in_string = False
        self._depth = 0
        self._began: int | None = None  # where in the buffer the current part begins
        self._list: str | None = None  # the list that is being read
        self._count = 0  # its members so far
        self._seen: set[str] = set()
        self._rest = bytearray()
        self._ended = False

    def __repr__(self) -> str:
        return f"<Splitter depth={self._depth} list={self._list} count={self._count}>"

    def take(self, data: bytes) -> Iterator[Part]:
        """Add data; yield the parts that end in it. Raises `SplitError`."""
        self._buffer += data
        while self._at < len(self._buffer):
            if self._in_string:
                if not self._leave_string():
                    break
                continue
            found = _UP_TO_BRACKET.match(self._buffer, self._at)
            end = found.end() if found else self._at
            self._at = end
            if end == len(self._buffer):
                break
            if self._buffer[end] == _QUOTE:  # of a string that goes on
                self._in_string = True
                self._at = end + 1
                continue
            part = self._bracket(end)
            if part is not None:
                yield part
        self._forget()

    def finish(self) -> bytes:
        """Return the rest: the object without the members of its lists. Raises `SplitError` if it has not ended."""
        if not self._ended:
            raise self._unfinished()
        return bytes(self._rest)

    def _unfinished(self) -> SplitError:
        if self._depth:
            return SplitError(f"It ends too early. {AGAIN}", is_json=False)
        if self._buffer.strip(_BLANK):
            return _no_object()
        return SplitError(f"It is empty. {CHOOSE}", is_json=False)

    def _leave_string(self) -> bool:
        """Go to the end of the string; return whether it has arrived."""
        found = _IN_STRING.match(self._buffer, self._at)
        self._at = found.end() if found else self._at
        if self._at == len(self._buffer) or self._buffer[self._at] == _BACKSLASH:
            return False
        self._at += 1
        self._in_string = False
        return True

    def _bracket(self, place: int) -> Part | None:
        """Pass the bracket at `place`; return the part that ends with it."""
        self._at = place + 1
        if self._buffer[place] in _OPENING:
            self._open(place)
            return None
        return self._close(place)

    def _open(self, place: int) -> None:
        if self._depth == 0:
            self._begin(place)
        elif self._depth == 1 and self._buffer[place] == ord("["):
            self._begin_list(place)
        elif self._depth == 2 and self._list is not None:
            self._expect_separator(place)
            self._began = place
        self._depth += 1
        if self._depth > DEPTH:
            raise SplitError(f"It is nested too deeply. The limit is {DEPTH} levels.", is_json=True)

    def _begin(self, place: int) -> None:
        if self._ended:
            raise SplitError(f"There is something after its end. {AGAIN}", is_json=False)
        if bytes(self._buffer[:place]).strip(_BLANK):
            raise _no_object()
        if self._buffer[place] != ord("{"):
            raise SplitError(f"It must be an object. {CHOOSE}", is_json=True)

    def _begin_list(self, place: int) -> None:
        """Note whether this is one of the lists. What came before it, and its bracket, belongs to the rest."""
        self._keep(place + 1)
        self._at = 0
        found = _KEY.search(self._rest, max(0, len(self._rest) - 300), len(self._rest) - 1)
        if found is None:
            return
        name = found[1].decode()
        if name in self._seen:
            raise SplitError(f"It has `{name}` twice. {AGAIN}", is_json=True)
        self._seen.add(name)
        self._list, self._count = name, 0

    def _expect_separator(self, place: int) -> None:
        between = bytes(self._buffer[:place]).strip(_BLANK)
        if between != (b"," if self._count else b""):
            raise SplitError(f"`{self._list}` must be a list of objects. {AGAIN}", is_json=True)

    def _close(self, place: int) -> Part | None:
        self._depth -= 1
        if self._depth < 0:
            raise SplitError(f"It has a bracket too many. {AGAIN}", is_json=False)
        if self._depth == 0:
            self._keep(place + 1)
            self._at = 0
            self._ended = True
        elif self._depth == 1 and self._list is not None:
            if bytes(self._buffer[:place]).strip(_BLANK):
                raise SplitError(f"`{self._list}` must be a list of objects. {AGAIN}", is_json=True)
            self._drop(place)  # the closing bracket belongs to the rest
            self._list = None
            self._at = 1
        elif self._depth == 2 and self._began is not None:
            data = bytes(self._buffer[self._began : place + 1])
            self._drop(place + 1)
            self._at = 0
            self._began = None
            self._count += 1
            return Part(self._list or "", self._count - 1, data)
        return None

    def _keep(self, end: int) -> None:
        """Move the beginning of the buffer to the rest."""
        self._rest += self._buffer[:end]
        self._drop(end)
        if len(self._rest) > REST_BYTES:
            raise SplitError(
                f"What is neither a message nor a stream takes more than {REST_BYTES // 2**20} MiB.",
                is_json=True,
            )

    def _drop(self, end: int) -> None:
        del self._buffer[:end]

    def _forget(self) -> None:
        """Bound what is kept until more data comes."""
        if self._ended:
            if bytes(self._buffer).strip(_BLANK):
                raise SplitError(f"There is something after its end. {AGAIN}", is_json=False)
            self._buffer.clear()
            self._at = 0
        elif self._list is None and self._depth and not self._in_string:
            self._keep(self._at)
            self._at = 0
        if len(self._buffer) > self._most:
            raise SplitError(f"A part of it is larger than {self._most // 2**20} MiB.", is_json=True)


def _no_object() -> SplitError:
    return SplitError(f"It doesn't begin with `{{`. {CHOOSE}", is_json=False)
