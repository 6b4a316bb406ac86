"""Handlers for whole sessions: export, import, and undo of a delete."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from app.chat.archive import Archive, flaw
from app.web.api.images import media_type
from app.web.api.markdown_export import as_markdown
from app.web.api.schemas import Imported
from app.web.api.sessions import take_snapshot
from app.web.app_keys import LIMITS, LISTS, OWNER, REGISTRY
from app.web.http.addresses import at
from app.web.input import bodies
from app.web.problems import ProblemError

NAME_LENGTH = 60  # characters of a file name, without the extension
FIELD = "file"  # the form field


async def export_session(request: web.Request) -> web.StreamResponse:
    """GET /api/sessions/{session_id}/export?format=json|markdown&branch="""
    session_id = bodies.path_id(request, "session_id")
    match request.query.get("format", "json"):
        case "json":
            archive = await request.app[REGISTRY].archives.export(request[OWNER], session_id)
            # Megabytes, perhaps: the event loop is not the place for them.
            data = await asyncio.to_thread(_indented, archive)
            return _file(data, "application/json", archive.title, "json")
        case "markdown":
            snapshot = await take_snapshot(request, session_id, request.query.get("branch"))
            text = await asyncio.to_thread(as_markdown, snapshot)
            return _file(text.encode(), "text/markdown; charset=utf-8", snapshot.title, "md")
        case _:
            raise ProblemError(422, "invalid_query", "format must be json or markdown.")


def _indented(archive: Archive) -> bytes:
    return msgspec.json.format(msgspec.json.encode(archive), indent=1)


def _file(data: bytes, content_type: str, title: str, ending: str) -> web.Response:
    names = f"filename=\"{file_name(title, ending)}\"; filename*=UTF-8''{quote(_plain(title) + '.' + ending, safe='')}"
    headers = {
        "Content-Type": content_type,
        "Content-Disposition": f"attachment; {names}",
        "Cache-Control": "no-store",
    }
    return web.Response(body=data, headers=headers)


def file_name(title: str, ending: str) -> str:
    """Return a file name that is valid on every system: the title's ASCII letters and digits."""
    ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    words = "-".join(re.findall("[A-Za-z0-9]+", ascii_only))[:NAME_LENGTH].strip("-")
    return f"{words or 'session'}.{ending}"


def _plain(title: str) -> str:
    """Return the title without characters that are invalid in file names on any system."""
    kept = "".join(" " if letter in '/\\:*?"<>|' or not letter.isprintable() else letter for letter in title)
    return " ".join(kept.encode(errors="ignore").decode().split())[:NAME_LENGTH].strip(". ") or "session"


async def import_session(request: web.Request) -> web.StreamResponse:
    """POST /api/sessions/import: 201 for a JSON body; 303 to the session's page for a form with a file."""
    is_form = request.content_type == "multipart/form-data"
    data = await (_uploaded(request) if is_form else _sent(request))
    archive = await asyncio.to_thread(_read, data)
    session_id = await request.app[REGISTRY].archives.adopt(request[OWNER], archive)
    request.app[LISTS].changed(request[OWNER])
    if is_form:
        raise web.HTTPSeeOther(at(request, f"/sessions/{session_id}"))
    answer = Imported(session_id=session_id, title=archive.title, messages=len(archive.messages))
    location = at(request, f"/api/sessions/{session_id}")
    return bodies.respond_json(answer, status=201, headers={"Location": location})


async def _sent(request: web.Request) -> bytes:
    if request.content_type != "application/json":
        raise ProblemError(
            415,
            "unsupported_media_type",
            "Send the file as `Content-Type: application/json`, or in a form as `multipart/form-data`.",
        )
    return bytes(await _bounded(request, lambda whole: whole.read()))


async def _uploaded(request: web.Request) -> bytes:
    try:
        form = await _bounded(request, lambda whole: whole.post())
    except ValueError as error:  # broken multipart
        raise ProblemError(400, "invalid_form", "Couldn't read the form. Send it again.") from error
    files = [sent for sent in form.values() if isinstance(sent, web.FileField)]
    try:
        for sent in files:
            if sent.name == FIELD:
                return await asyncio.to_thread(sent.file.read)
    finally:
        for sent in files:
            sent.file.close()
    raise ProblemError(422, "invalid_request", f"Choose a file to import (form field `{FIELD}`).")


async def _bounded(request: web.Request, read: Callable[[web.BaseRequest], Awaitable[Any]]) -> Any:
    """Read a body with the higher limit for imports. Raises a 413 as soon as the limit is exceeded."""
    most = request.app[LIMITS].max_import_bytes
    try:
        if (request.content_length or 0) <= most:
            return await read(request.clone(client_max_size=most))
    except web.HTTPRequestEntityTooLarge:
        pass
    raise ProblemError(413, "import_too_large", f"The file is too large. The limit is {most // 2**20} MiB.")


def _read(data: bytes) -> Archive:
    """Parse and validate an archive. Raises a 400 or a 422 with the reason."""
    try:
        archive = msgspec.json.decode(data, type=Archive)
    except msgspec.ValidationError as error:
        raise ProblemError(422, "invalid_archive", f"This isn't a Tailrace export: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProblemError(400, "invalid_json", f"The file isn't valid JSON: {error}.") from error
    for image in (image for message in archive.messages for image in message.images):
        if media_type(image.data) != image.media_type:
            raise ProblemError(422, "invalid_archive", f"Image {image.image_id} isn't {image.media_type}.")
    if (problem := flaw(archive)) is not None:
        raise ProblemError(422, "invalid_archive", f"This export is inconsistent. {problem}")
    return archive


async def restore_session(request: web.Request) -> web.StreamResponse:
    """POST /api/sessions/{session_id}/restore: undo a recent delete."""
    session_id = bodies.path_id(request, "session_id")
    restored = await request.app[REGISTRY].archives.restore(request[OWNER], session_id)
    request.app[LISTS].changed(request[OWNER])
    return bodies.respond_json(restored)
