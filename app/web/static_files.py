"""The static files as they are served: read once, compressed, and under an address that a browser may keep for ever.

The address of a file holds a hash of all files, as a folder, so a module finds its imports beside itself without
knowing it. Comments are for readers of the source: modules are served without those that have lines of their own.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aiohttp import hdrs, web
from aiohttp.web_response import Response

from app.web import assets

FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"  # for whoever asks without the hash, or with that of another version
TEXT = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}

_COMMENTS = re.compile(r"^[ \t]*(?:/\*\*.*?\*/|//[^\n]*)\n", re.MULTILINE | re.DOTALL)


class StaticFile(NamedTuple):
    """One file, ready to be sent."""

    body: bytes
    compressed: bytes | None  # `None` where that would not make it smaller
    content_type: str
    etag: str


class StaticFiles:
    """All files of a folder. `address` is where a page finds them."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        self._files = {path.relative_to(folder).as_posix(): served(path) for path in paths}
        together = hashlib.sha256(
            "".join(f"{name} {file.etag}\n" for name, file in self._files.items()).encode()
        )
        self._version = together.hexdigest()[:12]
        self.address = f"/static/{self._version}"

    def __repr__(self) -> str:
        return f"<StaticFiles {self._version} files={len(self._files)}>"

    async def get(self, request: web.Request) -> web.StreamResponse:
        """GET /static/{path}, with or without the hash before the name."""
        version, _, name = request.match_info["path"].partition("/")
        kept = version == self._version and name in self._files
        file = self._files.get(name if kept else request.match_info["path"]) or self._files.get(name)
        if file is None:
            raise web.HTTPNotFound
        return _respond(request, file, FOR_EVER if kept else ASK_AGAIN)


@cache
def static_files() -> StaticFiles:
    """Return the files of this installation."""
    return StaticFiles(assets.folder("static"))


def served(path: Path) -> StaticFile:
    """Return a file as it is sent."""
    body = path.read_bytes()
    if path.suffix == ".js":
        body = without_comments(body.decode()).encode()
    compressed = gzip.compress(body, mtime=0)
    content_type = TEXT.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    etag = hashlib.sha256(body).hexdigest()[:16]
    return StaticFile(body, compressed if len(compressed) < len(body) else None, content_type, etag)


def without_comments(module: str) -> str:
    """Return a module without the comments that stand on lines of their own."""
    return _COMMENTS.sub("", module)


def _respond(request: web.Request, file: StaticFile, caching: str) -> Response:
    headers = {hdrs.CACHE_CONTROL: caching, hdrs.ETAG: f'"{file.etag}"', hdrs.VARY: hdrs.ACCEPT_ENCODING}
    if any(etag.value == file.etag for etag in request.if_none_match or ()):
        return Response(status=304, headers=headers)
    body = file.body
    if file.compressed is not None and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        body = file.compressed
    charset = "utf-8" if file.content_type.startswith("text/") else None
    return Response(body=body, headers=headers, content_type=file.content_type, charset=charset)
