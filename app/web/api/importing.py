"""Imports an exported session as its bytes arrive: neither the file nor the session is ever in memory as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from app.chat.archive import ArchivedImage
from app.chat.archive_reader import ArchiveReader, BadArchive, Limits
from app.chat.errors import OwnerPrompts
from app.chat.scoped_ids import bare
from app.chat.times import utc_now
from app.web.api.import_lane import ImportLane
from app.web.api.schemas import Imported
from app.web.app_keys import LIMITS, LISTS, OWNER, REGISTRY
from app.web.http.addresses import at
from app.web.http.body_type import body_type
from app.web.http.see_other import see_other
from app.web.input import bodies
from app.web.input.checked_images import checked_image
from app.web.input.image_types import media_type
from app.web.input.multipart_body import file_pieces
from app.web.input.option_bounds import check_options
from app.web.input.reading import pieces
from app.web.problems import ProblemError, RequestTooLarge

IMPORTS = web.AppKey("imports", ImportLane)

FIELD = "file"  # the form field
FRAME = 64 * 1024  # bytes of a form beside its file
PIECE = 128 * 1024  # bytes that a thread parses at a time


async def import_session(request: web.Request) -> web.StreamResponse:
    """POST /api/sessions/import: 201 for a JSON body; 303 to the session's page for a form with a file."""
    is_form = body_type(request) == "multipart/form-data"
    if not is_form and body_type(request) != "application/json":
        raise ProblemError(
            415,
            "unsupported_media_type",
            "Send the file as `Content-Type: application/json`, or in a form as `multipart/form-data`.",
        )
    fair_use = request.app[REGISTRY].fair_use
    try:
        fair_use.check_prompts(request[OWNER])  # an import counts like a prompt
        imported = await _in_turn(request, is_form=is_form)
    except OwnerPrompts:
        await asyncio.sleep(fair_use.delay(request[OWNER]))  # without a turn, which others wait for
        raise
    request.app[LISTS].changed(request[OWNER])
    if is_form:
        return see_other(at(request, f"/sessions/{imported.session_id}"))
    location = at(request, f"/api/sessions/{imported.session_id}")
    return bodies.respond_json(imported, status=201, headers={"Location": location})


async def _in_turn(request: web.Request, *, is_form: bool) -> Imported:
    fair_use, most = request.app[REGISTRY].fair_use, request.app[LIMITS].max_import_bytes
    if (request.content_length or 0) > most:
        raise _too_large(most)
    try:
        async with request.app[IMPORTS].turn(request[OWNER]):
            fair_use.check_prompts(request[OWNER])  # again: those before it in line count
            data = _uploaded(request, most) if is_form else pieces(request, most)
            imported = await _import(request, _bounded(data, most))
            fair_use.count(request[OWNER])
            return imported
    except RequestTooLarge as error:
        raise _too_large(most) from error


async def _import(request: web.Request, data: AsyncIterator[bytes]) -> Imported:
    limits, archives = request.app[LIMITS], request.app[REGISTRY].archives
    reader = ArchiveReader(
        Limits(part=limits.max_part_bytes, text=limits.max_text_bytes),
        check_image=_check_image,
        new_id=archives.new_id,
        now=utc_now(),
    )
    try:
        async with archives.adopting(request[OWNER]) as adopted:
            async for piece in data:
                batch = await asyncio.to_thread(reader.take, piece)
                await adopted.add(batch.messages, batch.streams)
            archive, batch = await asyncio.to_thread(reader.finish)
            check_options(archive.options)
            await adopted.add(batch.messages, batch.streams)
            session_id = await adopted.finish(archive)
    except BadArchive as error:
        status, code = (422, "invalid_archive") if error.is_json else (400, "invalid_json")
        raise ProblemError(status, code, str(error)) from error
    return Imported(session_id=bare(session_id), title=archive.title, messages=reader.messages)


async def _bounded(data: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """Yield data in pieces of up to about `PIECE` bytes. Raises a 413 as soon as there is too much."""
    size = 0
    waiting = bytearray()
    async for some in data:
        size += len(some)
        if size > most:
            raise _too_large(most)
        waiting += some
        if len(waiting) >= PIECE:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _too_large(most: int) -> ProblemError:
    return ProblemError(413, "import_too_large", f"The file is too large. The limit is {most // 2**20} MiB.")


async def _uploaded(request: web.Request, most: int) -> AsyncIterator[bytes]:
    """Yield the data of the form's file."""
    try:
        async for some in file_pieces(request, most + FRAME, FIELD):
            yield some
    except ValueError as error:  # broken multipart
        raise ProblemError(400, "invalid_form", "Couldn't read the form. Send it again.") from error


def _check_image(image: ArchivedImage) -> None:
    if media_type(image.data) != image.media_type:
        raise BadArchive(f"Image {image.image_id} isn't {image.media_type}.")
    try:
        checked_image(image.data)
    except ProblemError as problem:
        raise BadArchive(f"Image {image.image_id}: {problem.detail}") from problem
