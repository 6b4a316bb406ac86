"""Reads `multipart/form-data` (RFC 7578), bounded in parts, headers and bytes, as it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from aiohttp import hdrs, web
from aiohttp.helpers import parse_mimetype
from multidict import MultiDict
from multipart import MultipartSegment, PushMultipartParser

from app.web.input.reading import feed, pieces
from app.web.input.text_room import TextRoom
from app.web.problems import ProblemError, RequestTooLarge

MOST_PARTS = 128
MOST_BOUNDARY = 70  # characters (RFC 2046, section 5.1.1)


class Upload(msgspec.Struct):
    """A file of a form. Its name and declared type say nothing that could be trusted."""

    data: bytearray


Field = str | Upload


async def read(request: web.Request, most: int, room: TextRoom, fields: MultiDict[Field]) -> None:
    """Add the fields of the body to `fields`. Raises `ValueError` if it is malformed, and what `feed` and `room` raise.

    If the body is longer than `most` bytes, the texts before its first file are read, and then a 413 is raised.
    """
    is_too_large = (request.content_length or 0) > most
    parts = _Parts(request, fields, most, room, is_too_large=is_too_large)
    await feed(request, most, parts.add, is_known_size=is_too_large)
    parts.end()


async def file_pieces(request: web.Request, most: int, name: str) -> AsyncIterator[bytes]:
    """Yield the data of the file in the field `name`, in pieces. Raises what `read` raises; without a file a 422."""
    is_ours = is_found = False
    with _parser(request) as parser:
        async for data in pieces(request, most):
            for event in parser.parse(data) if not parser.closed else ():
                if isinstance(event, MultipartSegment):
                    is_ours = not is_found and event.name == name and event.filename is not None
                    is_found = is_found or is_ours
                elif event is not None and is_ours:
                    yield bytes(event)
    if not is_found:
        raise ProblemError(422, "invalid_request", f"Choose a file to import (form field `{name}`).")


def _parser(request: web.Request) -> PushMultipartParser:
    boundary = parse_mimetype(request.headers[hdrs.CONTENT_TYPE]).parameters.get("boundary", "")
    if not 0 < len(boundary) <= MOST_BOUNDARY:
        raise ValueError("boundary")
    return PushMultipartParser(boundary, max_segment_count=MOST_PARTS)


class _Parts:
    """Turns pieces of the body into fields."""

    def __init__(
        self,
        request: web.Request,
        fields: MultiDict[Field],
        most: int,
        room: TextRoom,
        *,
        is_too_large: bool,
    ) -> None:
        self._parser = _parser(request)
        self._fields = fields
        self._most = most
        self._room = room
        self._is_too_large = is_too_large
        self._name = ""
        self._is_file = self._has_file_name = False
        self._value = bytearray()

    def add(self, data: bytes) -> None:
        if self._parser.closed:
            return
        for event in self._parser.parse(data):
            if isinstance(event, MultipartSegment):
                self._begin(event)
            elif event is None:
                self._store()
            else:
                self._value += event
                if not self._is_file:
                    self._room.take(len(event))

    def end(self) -> None:
        self._parser.close()

    def _begin(self, segment: MultipartSegment) -> None:
        if self._is_too_large and segment.filename:
            raise RequestTooLarge(self._most)
        self._name, self._value = segment.name or "", bytearray()
        self._is_file = bool(segment.filename)
        self._has_file_name = segment.filename is not None

    def _store(self) -> None:
        # A file input without a file is sent as one without a name and content (WHATWG HTML, section 4.10.22.4).
        if self._is_file:
            self._fields.add(self._name, Upload(self._value))
        elif self._value or not self._has_file_name:
            self._fields.add(self._name, self._value.decode())
        self._value = bytearray()
