"""Reads an answer tolerantly: server-sent events, JSON lines, or one JSON value, in all known shapes."""

from __future__ import annotations

from typing import Any, NoReturn

from app.backends.decoding.chunks import MAX_PARTS, Found, find, joined
from app.backends.decoding.decoder import DeltaBuffer
from app.backends.decoding.finish_reasons import USUAL
from app.backends.decoding.line_splitter import LineSplitter
from app.backends.decoding.room import FREE, MOST_HELD, Room
from app.backends.decoding.split_characters import CharacterJoiner
from app.backends.decoding.think_tags import ThinkTags
from app.backends.errors.bodies import ErrorDetails, title_of, words_of
from app.backends.errors.mapper import MAX_PAGE, ErrorMapper
from app.backends.json_values import decode, lacks_end
from app.chat.errors import UpstreamError
from app.chat.ports import Kind

PAGES = ("text/html", "application/xhtml+xml")
END_MARKS = (b"[DONE]", b'"[DONE]"')
BOM = b"\xef\xbb\xbf"
MAX_STRAY = 1024  # bytes of text outside the protocol that are kept for the error message
MAX_STRAY_LINES = 1000  # of such text; more is no answer with some noise
MAX_ATTEMPTS = 16  # to decode several lines as one value; a long one counts several times
LONG_ATTEMPT = 64 * 1024  # bytes
LINE_BYTES = 64  # that a held line takes beside its own
MAX_ITEMS = 2000  # values in one JSON array
MANY_PIECES = 64  # texts in one value; more are joined, as they are not the model's tokens


class AnswerReader(DeltaBuffer):
    """The common part of the decoders of both wire formats. See `Decoder`.

    A decoder handles usual lines itself on a fast path and passes every other line to `line`. A line that is a complete
    JSON value is processed at once: many servers end an event with one newline, where WHATWG's `text/event-stream`
    requires a blank line, and a complete JSON value cannot continue on the next line.
    """

    def __init__(self, voice: ErrorMapper, *, begins: bool = True, room: Room | None = None) -> None:
        super().__init__()
        self._voice = voice
        self._room = room or Room()
        self._lines = LineSplitter(room=self._room)
        self.granted = FREE  # see `Holder`
        self._started = False  # whether any line has arrived
        self._event: list[bytes] = []  # data lines of an incomplete event
        self._name = b""  # `event` field of the current event
        self._raw: list[bytes] = []  # lines of a JSON value outside of events
        self._page: list[bytes] = []  # lines of a web page
        self._size = 0  # bytes that these lists take; 0 means that the next line starts a new item
        self._attempts = 0
        self._stray = bytearray()
        self._stray_lines = 0
        self._ended = False  # whether the connection has ended
        self._broken = False  # and not as the protocol has it

        # Whether text can be added unchanged: never before the first piece or after the end.
        self.plain = False
        self._thinking = ThinkTags() if begins else None
        self._mending = CharacterJoiner()
        self._mended: Kind = "token"
        self._values = 0  # number of parts of the answer so far; decoders set 2 for "several"
        self._whole = False  # whether the last part was a whole answer
        self._refused = False
        self._tools = False
        self._silent = True  # no text has come
        self._note: tuple[bytes, ErrorDetails] | None = None  # an error if no answer comes

    def split(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes. Raises `UpstreamGarbled` if a line is too long."""
        lines = self._lines.feed(data)
        if lines and not self._started:
            self._started = True
            lines[0] = lines[0].removeprefix(BOM)
        return lines

    def line(self, line: bytes) -> None:
        """Process any line. Raises `UpstreamError`."""
        if self.done:
            return
        if self._page:
            self._page_line(line)
        elif self._raw:
            self._raw_line(line)
        elif not (line := line.lstrip()):
            self._dispatch()
        else:
            self._field(line)

    def say(self, kind: Kind, text: str) -> None:
        """Add a piece after joining split characters and separating reasoning in think tags."""
        if self._mending.held and self._mended != kind:
            self._sort(self._mended, self._mending.flush())
        self._mended = kind
        self._sort(kind, self._mending.mend(text))
        self.plain = self._thinking is None and not self._mending.held

    def flush(self, *, broken: bool = False) -> None:
        """See `Decoder`."""
        self._ended, self._broken = True, broken
        for line in self._lines.flush():
            self.line(line if self._started else line.removeprefix(BOM))
        if self._raw and not self.done:
            self._raw_end()
        self._dispatch()
        if self.done:
            return
        if self.finish_reason is not None or (self._whole and self._values == 1):
            self.finish()
            return
        self._fail(self._why_incomplete())

    def finish(self) -> None:
        """Complete the answer and set its finish reason. Raises `UpstreamError` if an error came in its place."""
        self._release()
        if self._note is not None and self._silent:
            self._fail(self._noted(*self._note))
        self.done = True
        self.plain = False
        reason = self.finish_reason or "stop"
        if reason == "stop" and self._refused:
            reason = "refusal"
        elif reason == "stop" and self._tools and self._thinking is not None:  # the answer has no text
            reason = "tool_calls"
        self.finish_reason = reason

    # ---- framing -------------------------------------------------------------------------------------------------

    def _field(self, line: bytes) -> None:
        """Process one field of an event (WHATWG HTML, section 9.2.6), or a line that is none."""
        name, colon, value = line.partition(b":")
        if name == b"data":
            self._data(value[1:] if value.startswith(b" ") else value)
        elif name == b"event":
            self._name = value.strip().lower()
        elif name not in (b"id", b"retry") and not (colon and not name):
            self._unframed(line)

    def _data(self, data: bytes) -> None:
        if self._event and data[:1] in (b"{", b"["):
            self._complete(self._event)  # the previous event ended with one newline
        value = data.strip()
        if value in END_MARKS:
            self.finish()
        elif self._event or not self._read(value):
            self._hold(self._event, data)

    def _complete(self, held: list[bytes]) -> None:
        """Process the held lines if they form a JSON value."""
        if self._attempts < MAX_ATTEMPTS:
            self._attempts += 1 + self._size // LONG_ATTEMPT
            if self._read(b"\n".join(held)):
                self._drop(held)

    def _dispatch(self) -> None:
        """Process the complete event."""
        if self._event and not self.done:
            data = self._drop(self._event)
            if not self._read(data):
                self._unreadable(data)
        self._name = b""

    def _unreadable(self, data: bytes) -> None:
        """Process an event that is not JSON: a plain-text error, a keep-alive, or garbage."""
        if self._name == b"error":
            self._complain(data, self._voice.in_band(data.decode("utf-8", "replace")))
        if self._name not in (b"", b"message"):
            return  # for example `event: ping`
        if data.lstrip()[:1] in (b"{", b"["):
            self._fail(self._no_value(data))
        self._keep(data)

    def _unframed(self, line: bytes) -> None:
        if line.strip() in END_MARKS:
            self.finish()
        elif line.startswith(b"<") and not self._values:
            self._page_line(line)
        elif line[:1] not in (b"{", b"["):
            self._keep(line)
        elif not self._read(line):
            self._hold(self._raw, line)

    def _raw_line(self, line: bytes) -> None:
        self._hold(self._raw, line)
        # A pretty-printed value ends with a bracket at the start of a line.
        if line.rstrip() in (b"}", b"]"):
            self._complete(self._raw)

    def _raw_end(self) -> None:
        data = self._drop(self._raw)
        if not self._read(data):
            self._fail(self._no_value(data))

    def _page_line(self, line: bytes) -> None:
        self._hold(self._page, line)
        if self._size > MAX_PAGE:
            self._fail(self._why_incomplete())

    def _keep(self, line: bytes) -> None:
        self._stray_lines += 1
        if len(self._stray) < MAX_STRAY:
            self._stray += line[:MAX_STRAY] + b"\n"
        elif self._stray_lines > MAX_STRAY_LINES:
            self._fail(self._why_incomplete())

    def _hold(self, held: list[bytes], line: bytes) -> None:
        self._size += len(line) + LINE_BYTES
        if not self._room.grants(self, self._size):
            self._fail(self._voice.too_long(min(self._size, MOST_HELD)))
        held.append(line)

    def _drop(self, held: list[bytes]) -> bytes:
        """Return the held lines, joined, and hold them no longer."""
        data = b"\n".join(held)
        held.clear()
        self._size = self._attempts = 0
        self.granted = FREE
        return data

    # ---- values --------------------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> bool:
        """Process a JSON object or array; return whether `data` was one."""
        if not data:
            return True
        try:
            value = decode(data)
        except ValueError:
            return False
        if not isinstance(value, dict | list):
            return False
        if self._name == b"error":
            self._complain(data, self._voice.in_band(value))
        self._name = b""
        items = value if isinstance(value, list) else [value]
        if len(items) > MAX_ITEMS:
            self._fail(self._voice.flooded())
        parts = 0
        for item in items:
            parts += self._value(item, data)
            if parts > MAX_PARTS:  # of all values together: they are processed in one step of the loop
                self._fail(self._voice.flooded())
        return True

    def _value(self, value: Any, data: bytes) -> int:
        """Process one value; return how many parts of it were looked at."""
        if self.done:
            return 0
        found = find(value)
        self._say_all(found)
        self._refused = self._refused or found.refused
        self._tools = self._tools or found.tools
        if found.known:
            self._values += 1
            self._whole = found.whole
        if found.usage is not None:
            self.usage = found.usage
        if found.reason is not None:
            known = found.reason in USUAL
            self.finish_reason = found.reason if known else self._voice.finish_reason(found.reason)
            self.finished = True
        if found.complaint is not None:
            self._complain(data, self._voice.complained(found.complaint))
        if found.note is not None and not self.finished:
            self._note = data, found.note
        if found.done:
            self.finish()
        return found.parts

    def _say_all(self, found: Found) -> None:
        pieces = found.pieces
        if not pieces and self._thinking is not None:  # no delta has had text
            pieces = [(kind, text) for kind, text in found.spare if kind == "token"]
        for kind, text in pieces if len(pieces) <= MANY_PIECES else joined(pieces):
            self.say(kind, text)

    def _sort(self, kind: Kind, text: str) -> None:
        if not text:
            return
        self._silent = False
        if kind == "reasoning" or self._thinking is None:
            self.add(kind, text)
            return
        for piece in self._thinking.take(text):
            self.add(*piece)
        if self._thinking.over:
            self._thinking = None

    def _release(self) -> None:
        """Add the text that was held back."""
        self._sort(self._mended, self._mending.flush())
        if self._thinking is not None:
            for piece in self._thinking.flush():
                self.add(*piece)
            if self._thinking.over:
                self._thinking = None

    # ---- errors ----------------------------------------------------------------------------------------------------

    def _complain(self, data: bytes, error: UpstreamError) -> NoReturn:
        self.complaint = data
        self._fail(error)

    def _noted(self, data: bytes, note: ErrorDetails) -> UpstreamError:
        self.complaint = data
        return self._voice.complained(note)

    def _fail(self, error: UpstreamError) -> NoReturn:
        self._release()
        raise error

    def _no_value(self, data: bytes) -> UpstreamError:
        """Return what is wrong with data that begins like JSON. The last of an answer may have been cut anywhere."""
        is_cut = self._broken or (self._ended and bool(self._values) and lacks_end(data))
        return self._voice.truncated() if is_cut else self._voice.garbled()

    def _why_incomplete(self) -> UpstreamError:
        if self._page:
            page = b"\n".join(self._page).decode("utf-8", "replace")
            if words := words_of(page):
                return self._noted(page.encode(), ErrorDetails(words, ""))
            return self._voice.page(title_of(page))
        if self._note is not None:
            return self._noted(*self._note) if self._silent else self._voice.truncated(self._note[1].message)
        stray = self._stray.rstrip(b"\n").decode("utf-8", "replace")
        if self.media_type in PAGES and not self._values:
            return self._voice.page(stray.partition("\n")[0])
        if stray.strip():
            if self._values:
                return self._voice.truncated(stray)
            self.complaint = stray.encode()
            return self._voice.in_band(stray)
        if self._broken or self._values or not self._started:
            return self._voice.truncated()
        return self._voice.garbled()
