"""Serves the static files: read once, compressed, at addresses that a browser may cache forever.

A page loads them from `/static/<hash of all files>/`. There the script and the style sheet are one bundle each, and
`import()` finds further scripts beside them. Without the hash each file is served as written, except the modules for
other pages: they are one file each, at an address that stays the same.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aiohttp import hdrs, web
from aiohttp.web_response import Response
from rjsmin import jsmin

from app.web.assets import folders
from app.web.assets.joining import Joiner, style
from app.web.http import accept

FOR_EVER = "public, max-age=31536000, immutable"
PAGE = "main.js"  # the entry script of a page
WORKER = "worker.js"  # the script that all tabs share
FOR_OTHERS = ("client.js", "element.js")  # modules for other pages: one file each, without the hash
ASK_AGAIN = "no-cache"  # for addresses without the hash or with that of another version
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_INDENT = re.compile(r"\n\s+")
TEXT = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}


class StaticFile(NamedTuple):
    """One file, in the forms that a response needs."""

    body: bytes
    compressed: bytes
    content_type: str
    etag: str


class StaticFiles:
    """All files of a folder. `address` is the path that pages load them from, without the server's base path."""

    def __init__(self, folder: Path) -> None:
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        self._plain = {name: _file(name, (folder / name).read_bytes()) for name in names}
        self._joined = self._plain | {
            **{name: _file(name, _lean(text)) for name, text in self._scripts()},
            **{
                name: _file(name, _lean_style(style(self._text, name)))
                for name in names
                if name.endswith(".css")
            },
        }
        etags = "".join(f"{name} {file.etag}\n" for name, file in self._joined.items())
        self._version = hashlib.sha256(etags.encode()).hexdigest()[:12]
        self.address = f"/static/{self._version}"

    def __repr__(self) -> str:
        return f"<StaticFiles {self._version} files={len(self._plain)}>"

    def _text(self, name: str) -> str:
        return self._plain[name].body.decode()

    def _scripts(self) -> Iterator[tuple[str, str]]:
        """Yield the name and text of each bundled script: the entry scripts, and those loaded later."""
        joiner = Joiner(self._text, lambda name: _lean_style(style(self._text, name)).decode())
        page = joiner.join(PAGE)
        yield PAGE, page.shared
        for name in self._plain:
            if name in (WORKER, *FOR_OTHERS):
                yield name, joiner.join(name).text
            elif name.endswith(".js") and name != PAGE:
                yield name, joiner.beside(name, PAGE, page)

    def joined(self, name: str) -> StaticFile:
        """Return a file in its bundled form. Raises `KeyError`."""
        return self._joined[name]

    async def get(self, request: web.Request) -> web.StreamResponse:
        """GET /static/{path}, with or without the hash before the name."""
        path = request.match_info["path"]
        version, _, name = path.partition("/")
        if path in FOR_OTHERS:
            return _respond(request, self._joined[path], ASK_AGAIN)
        if path in self._plain:
            return _respond(request, self._plain[path], ASK_AGAIN)
        if name in self._joined:
            return _respond(request, self._joined[name], FOR_EVER if version == self._version else ASK_AGAIN)
        raise web.HTTPNotFound


@cache
def static_files() -> StaticFiles:
    """Return the files of this installation."""
    return StaticFiles(folders.folder("static"))


def _lean(script: str) -> bytes:
    """Return a minified script. Comments between /*! and */ stay."""
    return str(jsmin(script, keep_bang_comments=True)).encode()


def _lean_style(sheet: str) -> bytes:
    """Return a style sheet without comments and indentation. No string in ours contains either."""
    return _INDENT.sub("\n", _COMMENT.sub("", sheet)).lstrip().encode()


def _file(name: str, body: bytes) -> StaticFile:
    suffix = Path(name).suffix
    content_type = TEXT.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return StaticFile(body, gzip.compress(body, mtime=0), content_type, hashlib.sha256(body).hexdigest()[:16])


def _respond(request: web.Request, file: StaticFile, caching: str) -> Response:
    headers = {hdrs.CACHE_CONTROL: caching, hdrs.ETAG: f'"{file.etag}"', hdrs.VARY: hdrs.ACCEPT_ENCODING}
    if any(etag.value == file.etag for etag in request.if_none_match or ()):
        return Response(status=304, headers=headers)
    body = file.body
    if accept.takes_gzip(request):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        body = file.compressed
    charset = "utf-8" if file.content_type.startswith("text/") else None
    return Response(body=body, headers=headers, content_type=file.content_type, charset=charset)
