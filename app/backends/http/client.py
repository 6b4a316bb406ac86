"""The HTTP client of one model server: one aiohttp session, a new connection for each request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeVar
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from app.backends.errors.mapper import ErrorMapper
from app.backends.http.connectors import TcpConnector, UnixConnector
from app.backends.http.pictured import Pictured, Upload
from app.backends.http.secrets import credentials, without_secrets
from app.backends.http.turns import Turns
from app.chat.errors import UpstreamError
from app.chat.ports import NO_HEADERS
from app.hosts import is_loopback
from app.tasks.timeouts import within

CONNECT_TIMEOUT = 10.0  # s, including name lookup and TLS
QUESTION_TIMEOUT = 5.0  # s for short requests: model lists, model details
LARGE_BODY = 1024 * 1024  # bytes; aiohttp warns about larger bodies that are not sent in pieces
MAX_ANSWER = 4 * 1024 * 1024  # bytes of a response to a short request, decompressed; model lists can be long
LARGE_ANSWER = 32 * 1024  # bytes; a larger one is decoded in a thread
# Bytes that aiohttp reads ahead for each response; up to twice as much before it pauses.
READ_SIZE = 32 * 1024
IMAGES = 4  # in memory at once while they are sent to a server; the others wait
KNOWN_ADDRESSES = 64  # that are remembered, of all servers together
MAX_ERROR_BODY = 16 * 1024  # bytes of an error response that are read
# What aiohttp raises for a broken connection or broken data. RuntimeError: its reader, if the connection was lost
# before the first read. HttpProcessingError: its parser, for an invalid chunk size.
BROKEN = (aiohttp.ClientError, HttpProcessingError, OSError, RuntimeError, ValueError, EOFError)

T = TypeVar("T")


class Abortable(Protocol):
    """An open generation, as seen by `UpstreamClient`, which aborts it when it closes."""

    def abort(self) -> None:
        """Close the connection immediately."""


class UpstreamClient:
    """The client of one model server. Keeps no connections between requests."""

    def __init__(
        self,
        base_url: str | URL,
        voice: ErrorMapper,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        unix: Path | None = None,
    ) -> None:
        """`base_url` may contain user and password, and a query that is sent with each request.

        `headers` are sent with each request; they override the `Authorization` header of key, user and password.
        `unix` is a socket to connect to, whatever the host in `base_url`.
        """
        given = URL(base_url)
        self.url = given.with_user(None).with_path(
            given.raw_path.rstrip("/") or "/", encoded=True, keep_query=True
        )
        self.voice = voice
        self.turns = Turns()
        self.broke = False  # whether a connection broke since this was last reset
        self._unix = unix
        self._headers = _joined(credentials(given, api_key), headers)
        self._session: aiohttp.ClientSession | None = None
        self._open: set[Abortable] = set()
        self._images = asyncio.Semaphore(IMAGES)
        self._closed = False

    def __repr__(self) -> str:
        return f"<UpstreamClient {without_secrets(self.url)} open={len(self._open)}>"

    @property
    def open(self) -> int:
        """Number of generations that have a connection or are opening one."""
        return len(self._open)

    def enlist(self, generation: Abortable) -> None:
        """Register an open generation, so that `aclose` can abort it."""
        self._open.add(generation)

    def dismiss(self, generation: Abortable) -> None:
        """Unregister a generation whose connection is closed."""
        self._open.discard(generation)

    async def post(
        self, path: str, body: bytes | Pictured, headers: Mapping[str, str] = NO_HEADERS
    ) -> aiohttp.ClientResponse:
        """Send a JSON body; return the response when its headers have arrived. Raises aiohttp's errors (`BROKEN`).

        If an image cannot be loaded, the reason is the `__cause__` of the error.
        """
        headers = {**headers, "Content-Type": "application/json"}
        data = self._sendable(body)
        return await self._opened().post(self._at(path), data=data, headers=headers, allow_redirects=False)

    def _sendable(self, body: bytes | Pictured) -> bytes | BytesIO | Upload:
        if isinstance(body, Pictured):
            return Upload(body, self._images)
        return body if len(body) < LARGE_BODY else BytesIO(body)

    async def ask(
        self, path: str, read: Callable[[bytes], T], body: bytes | None = None, *, most: int = MAX_ANSWER
    ) -> T:
        """Send a short request, bounded, and return its response as decoded by `read`. Raises `UpstreamError`.

        The response has at most `most` bytes, decompressed. `read` raises `ValueError` (as msgspec does) or
        `RecursionError` for content that it cannot decode.
        """
        try:
            return await within(QUESTION_TIMEOUT, self._ask(path, read, body, most))
        except BROKEN as error:  # TimeoutError is an OSError
            raise self.voice.before_answer(error) from error

    async def _ask(self, path: str, read: Callable[[bytes], T], body: bytes | None, most: int) -> T:
        method = "GET" if body is None else "POST"
        headers = {"Content-Type": "application/json"} if body is not None else None
        session = self._opened()
        async with session.request(
            method, self._at(path), data=body, headers=headers, allow_redirects=False
        ) as response:
            if response.status != 200:
                body = await _read(response, MAX_ERROR_BODY)
                raise self.voice.rejected(response.status, body, response.headers)
            found = await self._found(response, read, most)
        # Raised here, where the content is out of reach: an error that is kept would keep it, too.
        if isinstance(found, UpstreamError):
            raise found
        return found

    async def _found(
        self, response: aiohttp.ClientResponse, read: Callable[[bytes], T], most: int
    ) -> T | UpstreamError:
        """Return what `read` makes of a response, or the error that says why it makes nothing of it."""
        if (response.content_length or 0) > most:
            return self.voice.too_large(most)
        content = await _read(response, most + 1)
        if len(content) > most:
            return self.voice.too_large(most)
        try:
            return read(content) if len(content) < LARGE_ANSWER else await asyncio.to_thread(read, content)
        except (ValueError, RecursionError):  # RecursionError: nested too deeply for msgspec
            return self.voice.instead(content)

    async def aclose(self) -> None:
        """Abort open generations and close the session. Idempotent."""
        self._closed = True
        for generation in list(self._open):
            generation.abort()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _at(self, path: str) -> URL:
        return _below(self.url, path)

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise aiohttp.ClientConnectionError("closed")
        if self._session is None:  # created lazily, because aiohttp requires a running loop
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        headers = {"Accept-Encoding": "identity", **self._headers}  # compression would only delay tokens
        return aiohttp.ClientSession(
            # No limit: aiohttp would queue the 101st stream behind other answers. No pool: closing the connection is
            # what stops a model, so each generation has its own.
            connector=TcpConnector(limit=0, force_close=True)
            if self._unix is None
            else UnixConnector(str(self._unix), limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            proxy=proxy_for(self.url),
            read_bufsize=READ_SIZE,
        )


@lru_cache(maxsize=KNOWN_ADDRESSES)
def _below(base: URL, path: str) -> URL:
    """Return the address of a path, with the query of the base. Cached: each prompt goes to the same one."""
    return (base / path).with_query(base.query)


def proxy_for(url: URL) -> str | None:
    """Return the proxy for `url` from the environment, `None` for loopback addresses.

    aiohttp's `trust_env` is not used, because it would also let a `~/.netrc` replace the API key.
    """
    host = url.host or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


def _joined(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Return all headers; `theirs` override `ours`, ignoring the case of names."""
    names = {name.lower() for name in theirs}
    return {**{name: value for name, value in ours.items() if name.lower() not in names}, **theirs}


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body, `most` bytes at most.

    It is read in small pieces: aiohttp reads ahead, and decompresses ahead, by what is asked for.
    """
    body = bytearray()
    while (left := most - len(body)) > 0 and (piece := await response.content.read(min(left, READ_SIZE))):
        body += piece
    return bytes(body)
