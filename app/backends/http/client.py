"""The HTTP client of one model server: one aiohttp session, a new connection for each request."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from io import BytesIO
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, cast
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.http import HttpProcessingError
from yarl import URL

from app.backends.errors.mapper import ErrorMapper
from app.backends.http.connection import UpstreamConnection
from app.backends.http.secrets import credentials, without_secrets
from app.backends.http.turns import Turns
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
MAX_ERROR_BODY = 16 * 1024  # bytes of an error response that are read
# What aiohttp raises for a broken connection or broken data. RuntimeError: its reader, if the connection was lost
# before the first read. HttpProcessingError: its parser, for an invalid chunk size.
BROKEN = (aiohttp.ClientError, HttpProcessingError, OSError, RuntimeError, ValueError, EOFError)

T = TypeVar("T")

# Callback for the connection that is being made in this task. See `_Connector`.
on_connection: ContextVar[Callable[[UpstreamConnection], None] | None] = ContextVar(
    "on_connection", default=None
)


class Abortable(Protocol):
    """An open generation, as seen by `UpstreamClient`, which aborts it when it closes."""

    def abort(self) -> None:
        """Close the connection immediately."""


class _Connector(aiohttp.TCPConnector):
    """Makes `UpstreamConnection`s, and passes each new one to the `on_connection` callback.

    aiohttp exposes the connection only with the response, which is too late for a stop before the headers, and
    removes it when a short response is complete.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # There is no public parameter for it.
        self._factory = cast("partial[ResponseHandler]", partial(UpstreamConnection, loop=self._loop))

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        """Make a connection and pass it to the `on_connection` callback of the current context, if set."""
        connection = await super().connect(*args, **kwargs)
        tell = on_connection.get()
        if tell is not None and isinstance(connection.protocol, UpstreamConnection):
            tell(connection.protocol)
        return connection

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: list[AddrInfoType],
        req: ClientRequest,
        client_error: type[Exception] = aiohttp.ClientConnectorError,
        **kwargs: Any,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Connect to the only address of a server without TLS at once.

        aiohttp tries several addresses with sockets of its own, for which uvloop asks a thread to resolve an address
        that is resolved already: a third of the cost of a connection. If aiohttp renames this, it only costs more.
        """
        if len(addr_infos) > 1 or kwargs.get("ssl") is not None or addr_infos[0][0] != socket.AF_INET:
            kwargs |= {"addr_infos": addr_infos, "req": req, "client_error": client_error}
            return await super()._wrap_create_connection(*args, **kwargs)
        factory: Callable[[], ResponseHandler] = args[0]
        host, port = addr_infos[0][4][:2]
        try:
            return await self._loop.create_connection(factory, str(host), int(port))
        except OSError as error:
            raise client_error(req.connection_key, error) from error


class UpstreamClient:
    """The client of one model server. Keeps no connections between requests."""

    def __init__(
        self,
        base_url: str | URL,
        voice: ErrorMapper,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`base_url` may contain user and password, and a query that is sent with each request.

        `headers` are sent with each request; they override the `Authorization` header of key, user and password.
        """
        given = URL(base_url)
        self.url = given.with_user(None).with_path(
            given.raw_path.rstrip("/") or "/", encoded=True, keep_query=True
        )
        self.voice = voice
        self.turns = Turns()
        self.broke = False  # whether a connection broke since this was last reset
        self._headers = _joined(credentials(given, api_key), headers)
        self._session: aiohttp.ClientSession | None = None
        self._open: set[Abortable] = set()
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
        self, path: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS
    ) -> aiohttp.ClientResponse:
        """Send a JSON body; return the response when its headers have arrived. Raises aiohttp's errors (`BROKEN`)."""
        headers = {**headers, "Content-Type": "application/json"}
        data = body if len(body) < LARGE_BODY else BytesIO(body)
        return await self._opened().post(self._at(path), data=data, headers=headers, allow_redirects=False)

    async def ask(self, path: str, read: Callable[[bytes], T], body: bytes | None = None) -> T:
        """Send a short request, bounded, and return its response as decoded by `read`. Raises `UpstreamError`.

        `read` raises `ValueError` (as msgspec does) or `RecursionError` for content that it cannot decode.
        """
        try:
            return await within(QUESTION_TIMEOUT, self._ask(path, read, body))
        except BROKEN as error:  # TimeoutError is an OSError
            raise self.voice.before_answer(error) from error

    async def _ask(self, path: str, read: Callable[[bytes], T], body: bytes | None) -> T:
        method = "GET" if body is None else "POST"
        headers = {"Content-Type": "application/json"} if body is not None else None
        session = self._opened()
        async with session.request(
            method, self._at(path), data=body, headers=headers, allow_redirects=False
        ) as response:
            if response.status != 200:
                body = await _read(response, MAX_ERROR_BODY)
                raise self.voice.rejected(response.status, body, response.headers)
            if (response.content_length or 0) > MAX_ANSWER:
                raise self.voice.too_large(MAX_ANSWER)
            content = await _read(response, MAX_ANSWER + 1)
            if len(content) > MAX_ANSWER:
                raise self.voice.too_large(MAX_ANSWER)
        try:
            return read(content) if len(content) < LARGE_ANSWER else await asyncio.to_thread(read, content)
        except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply for msgspec
            raise self.voice.instead(content) from error

    async def aclose(self) -> None:
        """Abort open generations and close the session. Idempotent."""
        self._closed = True
        for generation in list(self._open):
            generation.abort()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _at(self, path: str) -> URL:
        return (self.url / path).with_query(self.url.query)

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
            connector=_Connector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            proxy=proxy_for(self.url),
            read_bufsize=READ_SIZE,
        )


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
