"""Reads an exported session in pieces, as its bytes arrive: parses, checks and renames its messages and streams.

What is kept of a message is a number of eight bytes, so a file of 60 MB takes little memory.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from app.chat.archive import (
    MOST_TOKENS,
    Archive,
    ArchivedImage,
    ArchivedMessage,
    ArchivedStream,
)
from app.chat.archive_splitter import AGAIN, CHOOSE, Part, SplitError, Splitter
from app.chat.contents import Problem
from app.chat.sizes import utf8_size
from app.chat.states import Outcome
from app.chat.titles import one_line, title_of

MOST_RECORDS = 200_000  # messages, and streams
ERROR_CODE, ERROR_MESSAGE = 200, 2_000  # characters of a stream's error; the rest is cut off
# In what the parser says.
_MISSING = re.compile("Object missing required field `(.+?)`")
_PLACE = re.compile(r" - at `\$([^`]{1,100})`$")

T = TypeVar("T")


class BadArchive(Exception):
    """The file is no exported session. The message is a sentence; `is_json` tells whether it might be JSON."""

    def __init__(self, sentence: str, *, is_json: bool = True) -> None:
        super().__init__(sentence)
        self.is_json = is_json


class Batch(NamedTuple):
    """Messages and streams under their new ids, in the order of the file."""

    messages: list[ArchivedMessage]
    streams: list[ArchivedStream]


class Limits(NamedTuple):
    """Bounds of one message or stream, in bytes: of its JSON, and of its texts in UTF-8."""

    part: int
    text: int


class ArchiveReader:
    """Takes the bytes of one file. Each method raises `BadArchive`.

    `check_image` raises `BadArchive` for an image that must not be stored; `new_id` makes the ids of images. `now`
    (RFC 3339, UTC) takes the place of later times: a session of the future would be the newest one until then.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        check_image: Callable[[ArchivedImage], None],
        new_id: Callable[[], str],
        now: str,
    ) -> None:
        self._splitter = Splitter(limits.part)
        self._limits = limits
        self._check_image = check_image
        self._new_id = new_id
        self._now = now
        self._derived_title: str | None = None  # from the first prompt
        self._key = secrets.token_bytes(16)
        self._messages: set[int] = set()
        self._streams: set[int] = set()
        self._missing: set[int] = set()  # streams that were named and have not come
        self._images: set[int] = set()

    def __repr__(self) -> str:
        return f"<ArchiveReader messages={len(self._messages)} streams={len(self._streams)}>"

    @property
    def messages(self) -> int:
        """The number of messages so far."""
        return len(self._messages)

    def take(self, data: bytes) -> Batch:
        """Add data; return what is complete by now."""
        batch = Batch([], [])
        try:
            for part in self._splitter.take(data):
                self._read(part, batch)
        except SplitError as error:
            raise _bad(error) from error
        return batch

    def finish(self) -> tuple[Archive, Batch]:
        """Return the session, without messages and streams, and those that have not been returned by `take`."""
        try:
            rest = self._splitter.finish()
        except SplitError as error:
            raise _bad(error) from error
        archive = _parsed(rest, Archive)
        batch = Batch([], [])
        if (archive.messages and self._messages) or (archive.streams and self._streams):
            raise BadArchive("It has `messages` or `streams` twice.")
        for message in archive.messages:
            self._take_message(message, batch)
        for stream in archive.streams:
            self._take_stream(stream, batch)
        if self._missing:
            raise BadArchive("This export is inconsistent. It names streams that are missing.")
        known = msgspec.structs.replace(
            archive,
            title=one_line(archive.title) or self._derived_title or "",
            created_at=self._past(archive.created_at),
            updated_at=self._past(archive.updated_at),
            messages=[],
            streams=[],
            keys=[],
        )
        return known, batch

    # ---- parts -----------------------------------------------------------------------------------------------

    def _read(self, part: Part, batch: Batch) -> None:
        where = f"{part.of}[{part.place}]"
        if part.of == "messages":
            self._take_message(_parsed(part.data, ArchivedMessage, where), batch)
        else:
            self._take_stream(_parsed(part.data, ArchivedStream, where), batch)

    def _take_message(self, message: ArchivedMessage, batch: Batch) -> None:
        self._check_message(message)
        if self._derived_title is None and message.role == "user":
            self._derived_title = one_line(title_of(message.content))
        parent = message.parent_id
        if parent is not None and self._number("m", parent) not in self._messages:
            raise BadArchive(
                f"This export is inconsistent. Message {message.message_id} follows {parent}, "
                "which doesn't come before it."
            )
        _add(self._messages, self._number("m", message.message_id), "messages")
        if message.stream_id is not None:
            self._name(message.stream_id)
        batch.messages.append(
            msgspec.structs.replace(
                message,
                message_id=self._renamed("m", message.message_id),
                parent_id=None if parent is None else self._renamed("m", parent),
                stream_id=None if message.stream_id is None else self._renamed("s", message.stream_id),
                created_at=self._past(message.created_at),
                images=[msgspec.structs.replace(image, image_id=self._new_id()) for image in message.images],
            )
        )

    def _check_message(self, message: ArchivedMessage) -> None:
        if utf8_size(message.content) + utf8_size(message.reasoning) > self._limits.text:
            raise BadArchive(
                f"Message {message.message_id} is too long. The limit is {self._limits.text} bytes."
            )
        for image in message.images:
            _add(self._images, self._number("i", image.image_id), "images")
            self._check_image(image)

    def _take_stream(self, stream: ArchivedStream, batch: Batch) -> None:
        _check_stream(stream)
        number = self._number("s", stream.stream_id)
        _add(self._streams, number, "streams")
        self._missing.discard(number)
        if stream.continues is not None:
            self._name(stream.continues)
        batch.streams.append(
            msgspec.structs.replace(
                stream,
                stream_id=self._renamed("s", stream.stream_id),
                message_id=self._renamed("m", stream.message_id),
                continues=None if stream.continues is None else self._renamed("s", stream.continues),
                created_at=None if stream.created_at is None else self._past(stream.created_at),
                outcome=stream.outcome or Outcome.INTERRUPTED,
                error=stream.error
                and Problem(stream.error.code[:ERROR_CODE], stream.error.message[:ERROR_MESSAGE]),
            )
        )

    def _name(self, stream_id: str) -> None:
        number = self._number("s", stream_id)
        if number not in self._streams:
            self._missing.add(number)

    def _past(self, time: str) -> str:
        """Return a time that is not later than now. Raises `BadArchive` for what only has the form of one."""
        try:
            datetime.fromisoformat(time)
        except ValueError as error:
            raise _changed(f"`{time}` is no date") from error
        return min(time, self._now)

    # ---- ids -------------------------------------------------------------------------------------------------

    def _digest(self, kind: str, name: str) -> bytes:
        return hashlib.blake2b(f"{kind} {name}".encode(), digest_size=12, key=self._key).digest()

    def _number(self, kind: str, name: str) -> int:
        return int.from_bytes(self._digest(kind, name)[:8])

    def _renamed(self, kind: str, name: str) -> str:
        """Return the new id. It follows from the old one and a secret, so no table of ids is needed."""
        return base64.urlsafe_b64encode(self._digest(kind, name)).decode()


def _bad(error: SplitError) -> BadArchive:
    what = "This isn't a Tailrace export" if error.is_json else "The file isn't valid JSON"
    return BadArchive(f"{what}. {error}", is_json=error.is_json)


def _add(known: set[int], number: int, what: str) -> None:
    if number in known:
        raise BadArchive(f"This export is inconsistent. Two {what} have the same ID.")
    if len(known) >= MOST_RECORDS:
        raise BadArchive(f"It has too many {what}. The limit is {MOST_RECORDS:,}.")
    known.add(number)


def _check_stream(stream: ArchivedStream) -> None:
    counted: Sequence[int] = (
        (stream.usage.prompt_tokens, stream.usage.completion_tokens) if stream.usage else ()
    )
    if any(not 0 <= count < MOST_TOKENS for count in counted):
        raise BadArchive(
            f"This export is inconsistent. Stream {stream.stream_id} has an impossible token usage."
        )


class _Label(msgspec.Struct):
    """What says that a file is an export, and of which version."""

    kind: str = ""
    version: int = 1


def _parsed(data: bytes, kind: type[T], where: str = "") -> T:
    """Parse the part of the file at `where`, or without that the whole but for its parts."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        if not where:
            _check_label(data)
        raise _changed(_wrong(str(error), where)) from error
    except RecursionError as error:
        raise BadArchive("It is nested too deeply.") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise BadArchive(f"The file isn't valid JSON. {AGAIN}", is_json=False) from error


def _check_label(data: bytes) -> None:
    try:
        label = msgspec.json.decode(data, type=_Label)
    except msgspec.DecodeError:
        return  # there is more wrong with it
    if label.kind != "tailrace-session":
        raise BadArchive(f"This isn't a Tailrace export. {CHOOSE}")
    if label.version > 1:
        raise BadArchive(
            "This export is of a newer version of Tailrace. Update this server, then import it again."
        )


def _wrong(error: str, where: str) -> str:
    """Return what is wrong, from the parser's message: what is missing in a place, or the place of a value."""
    place = where + (found[1] if (found := _PLACE.search(error)) else "")
    if missing := _MISSING.match(error):
        return f"`{place}.{missing[1]}` is missing".replace("`.", "`")
    return f"`{place}` is invalid".replace("`.", "`")


def _changed(what: str) -> BadArchive:
    return BadArchive(f"This isn't a Tailrace export, or it was changed: {what}. {AGAIN}")
