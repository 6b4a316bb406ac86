"""Handlers for whole sessions: export, and undo of a delete."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator, Sequence
from functools import partial
from urllib.parse import quote

import msgspec
from aiohttp import web

from app.chat.archive import Archive
from app.chat.records import Records
from app.streams.archives import Archives
from app.web.api.markdown_export import as_markdown, title_line
from app.web.api.message_range import WHOLE, branch
from app.web.api.pieces import send_pieces
from app.web.api.sessions import TOGETHER, earlier_messages, snapshot_of
from app.web.app_keys import HISTORY, LISTS, OWNER, REGISTRY, TURN
from app.web.input import bodies
from app.web.input.session_ids import path_session, shown
from app.web.output.entry import take_turn
from app.web.output.turns import in_thread
from app.web.problems import ProblemError

NAME_LENGTH = 60  # characters of a file name, without the extension


async def export_session(request: web.Request) -> web.StreamResponse:
    """GET /api/sessions/{session_id}/export?format=json|markdown&branch="""
    session_id = path_session(request)
    match request.query.get("format", "json"):
        case "json":
            return await _as_json(request, session_id)
        case "markdown":
            return await _as_markdown(request, session_id, branch(request))
        case _:
            raise ProblemError(422, "invalid_query", "format must be json or markdown.")


async def _as_json(request: web.Request, session_id: str) -> web.StreamResponse:
    archives, owner = request.app[REGISTRY].archives, request[OWNER]
    records = await archives.records(owner, session_id)
    if records is not None:
        headers = _headers("application/json", records.info.title, "json")
        return await send_pieces(request, _json_pieces(archives, owner, session_id, records), headers)
    archive = shown(await archives.export(owner, session_id))
    # Megabytes, perhaps: the event loop is not the place for them.
    data = await in_thread(request.get(TURN), partial(_indented, archive))
    return web.Response(body=data, headers=_headers("application/json", archive.title, "json"))


async def _json_pieces(
    archives: Archives, owner: str, session_id: str, records: Records
) -> AsyncIterator[bytes]:
    """Yield a long session as one object of JSON, with a line for each message and each stream."""
    known = msgspec.structs.asdict(shown(records.info))
    archive = Archive(kind="tailrace-session", version=1, **known, messages=[], streams=[])
    head, rest = msgspec.json.encode(archive).split(b'"messages":[]', 1)
    between, tail = rest.split(b'"streams":[]', 1)
    yield head + b'"messages":['
    done = 0
    while wanted := records.messages[done : done + TOGETHER]:
        messages = await archives.messages(owner, session_id, wanted)
        yield _lines(messages, is_first=done == 0)
        done += len(messages)
    yield b"]" + between + b'"streams":['
    for begin in range(0, len(records.streams), TOGETHER):
        streams = await archives.streams(owner, session_id, records.streams[begin : begin + TOGETHER])
        yield _lines(streams, is_first=begin == 0)
    yield b"]" + tail


def _lines(records: Sequence[msgspec.Struct], *, is_first: bool) -> bytes:
    lines = b",\n".join(map(msgspec.json.encode, records))
    return lines if is_first else b",\n" + lines


async def _as_markdown(request: web.Request, session_id: str, through: str | None) -> web.StreamResponse:
    found = await request.app[HISTORY].excerpt(request[OWNER], session_id, through, WHOLE)
    snapshot = snapshot_of(request, session_id, found)

    async def pieces() -> AsyncIterator[bytes]:
        yield title_line(snapshot.title).encode()
        async for messages in earlier_messages(request, session_id, found):
            yield (await asyncio.to_thread(as_markdown, messages)).encode()
        yield (await asyncio.to_thread(as_markdown, snapshot.messages)).encode() + b"\n"

    headers = _headers("text/markdown; charset=utf-8", snapshot.title, "md")
    return await send_pieces(request, pieces(), headers)


def _indented(archive: Archive) -> bytes:
    return msgspec.json.format(msgspec.json.encode(archive), indent=1)


def _headers(content_type: str, title: str, ending: str) -> dict[str, str]:
    names = f"filename=\"{file_name(title, ending)}\"; filename*=UTF-8''{quote(_plain(title) + '.' + ending, safe='')}"
    return {
        "Content-Type": content_type,
        "Content-Disposition": f"attachment; {names}",
        "Cache-Control": "no-store",
    }


def file_name(title: str, ending: str) -> str:
    """Return a file name that is valid on every system: the title's ASCII letters and digits."""
    ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    words = "-".join(re.findall("[A-Za-z0-9]+", ascii_only))[:NAME_LENGTH].strip("-")
    return f"{words or 'session'}.{ending}"


def _plain(title: str) -> str:
    """Return the title without characters that are invalid in file names on any system."""
    kept = "".join(" " if letter in '/\\:*?"<>|' or not letter.isprintable() else letter for letter in title)
    return " ".join(kept.encode(errors="ignore").decode().split())[:NAME_LENGTH].strip(". ") or "session"


async def restore_session(request: web.Request) -> web.StreamResponse:
    """POST /api/sessions/{session_id}/restore: undo a recent delete."""
    session_id = path_session(request)
    await take_turn(request)
    restored = await request.app[REGISTRY].archives.restore(request[OWNER], session_id)
    request.app[LISTS].changed(request[OWNER])
    return bodies.respond_json(shown(restored))
