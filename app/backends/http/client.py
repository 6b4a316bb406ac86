"""The HTTP side of a model server: one aiohttp session, and a fresh connection for every request."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from io import BytesIO
from types import MappingProxyType
from typing import Any, Protocol, TypeVar
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from yarl import URL

from app.backends.errors.mapper import ErrorMapper
from app.tasks.timeouts import within

CONNECT_TIMEOUT = 10.0  # s, name lookup and TLS included
QUESTION_TIMEOUT = 5.0  # s, for the short questions: which models, which context
LARGE_BODY = 1024 * 1024  # bytes; from here on aiohttp wants to send a body in pieces, and warns otherwise
MAX_ANSWER = 16 * 1024 * 1024  # bytes of an answer to a short question; lists of models can be long
SHORTEST_SECRET = 8  # characters of a header's value that is not repeated
MAX_ERROR_BODY = 16 * 1024  # bytes of an error answer that are read
# What aiohttp raises where a connection, or what came over it, is broken. RuntimeError: its reader, for a connection
# that was lost before the first read. HttpProcessingError: its parser, for garbage in the place of a chunk's size.
BROKEN = (aiohttp.ClientError, HttpProcessingError, OSError, RuntimeError, ValueError, EOFError)

T = TypeVar("T")
_SECRET = re.compile(r"key|token|secret|sig|auth|code", re.IGNORECASE)  # names in a query

# Who wants to know the connection that is being made in this task. See `_Connector`.
on_connection: ContextVar[Callable[[ResponseHandler], None] | None] = ContextVar(
    "on_connection", default=None
)


class Abortable(Protocol):
    """What `UpstreamClient` does to the generations that are still open when it closes."""

    def abort(self) -> None:
        """Close the connection now."""
        ...


class _Connector(aiohttp.TCPConnector):
    """Tells who asked for a connection as soon as there is one.

    aiohttp shows a connection with the response only, which is too late for a stop before the headers, and
    takes it away again once a short answer is complete.
    """

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        """Make a connection and show it to whoever set `on_connection`."""
        connection = await super().connect(*args, **kwargs)
        tell = on_connection.get()
        if tell is not None and connection.protocol is not None:
            tell(connection.protocol)
        return connection


class UpstreamClient:
    """One model server at one address. It holds no connection between requests."""

    def __init__(
        self,
        base_url: str | URL,
        voice: ErrorMapper,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`base_url` may have user and password, and a query that goes with each request.

        `headers` are sent with each request; they win over those that the rest of it means.
        """
        given = URL(base_url)
        self.url = given.with_user(None).with_path(
            given.raw_path.rstrip("/") or "/", encoded=True, keep_query=True
        )
        self.voice = voice
        self.broke = False  # a connection broke since somebody last looked
        self._headers = _joined(_credentials(given, api_key), headers)
        self._session: aiohttp.ClientSession | None = None
        self._open: set[Abortable] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Upstream {without_secrets(self.url)} open={len(self._open)}>"

    @property
    def open(self) -> int:
        """How many generations have, or are getting, a connection."""
        return len(self._open)

    def enlist(self, generation: Abortable) -> None:
        """Remember an open generation, so that `aclose` can end it."""
        self._open.add(generation)

    def dismiss(self, generation: Abortable) -> None:
        """Forget a generation whose connection is closed."""
        self._open.discard(generation)

    async def post(self, path: str, body: bytes) -> aiohttp.ClientResponse:
        """Send a JSON body; return the response once its headers are there. Raises what aiohttp raises."""
        headers = {"Content-Type": "application/json"}
        data = body if len(body) < LARGE_BODY else BytesIO(body)
        return await self._opened().post(self._at(path), data=data, headers=headers, allow_redirects=False)

    async def ask(self, path: str, read: Callable[[bytes], T], body: bytes | None = None) -> T:
        """Ask a short question, bounded, and return what `read` makes of its answer. Raises `UpstreamError`.

        `read` raises `ValueError` (as msgspec does) or `RecursionError` for what it cannot read.
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
            content = await _read(response, MAX_ANSWER + 1)
            if len(content) > MAX_ANSWER:
                raise self.voice.garbled()
        try:
            return read(content)
        except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply for msgspec
            raise self.voice.garbled() from error

    async def aclose(self) -> None:
        """Abort what is still open and close the session. Idempotent."""
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
        if self._session is None:  # made here and not earlier, because aiohttp wants a running loop
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        headers = {"Accept-Encoding": "identity", **self._headers}  # compression would only delay tokens
        return aiohttp.ClientSession(
            # No limit: aiohttp would queue the 101st stream behind somebody else's answer. No pool: closing a
            # connection is what stops a model, so each generation has one of its own.
            connector=_Connector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            proxy=proxy_for(self.url),
        )


def proxy_for(url: URL) -> str | None:
    """Return the environment's proxy for `url`, none for this machine itself.

    Not aiohttp's `trust_env`: that would also let a `~/.netrc` replace the API key.
    """
    host = url.host or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


def is_loopback(host: str) -> bool:
    """Tell whether `host` names this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def without_secrets(url: URL) -> str:
    """Return `url` as it may be shown: without user, password, and a query that may hold a key."""
    return str(url.with_user(None).with_query(None)).rstrip("/") if url.host else str(url)


def hidden(url: str | URL, api_key: str | None, headers: Mapping[str, str]) -> list[str]:
    """Return what must never be repeated of how a server is asked."""
    password = URL(url).password
    values = [value for value in headers.values() if len(value) >= SHORTEST_SECRET]
    asked = [value for name, value in URL(url).query.items() if _SECRET.search(name)]
    return [secret for secret in (api_key, password, *asked, *values) if secret]


def _joined(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Return all headers; of two with one name, however it is written, theirs."""
    names = {name.lower() for name in theirs}
    return {**{name: value for name, value in ours.items() if name.lower() not in names}, **theirs}


def _credentials(url: URL, api_key: str | None) -> dict[str, str]:
    """Return the header that carries the key, or the user and the password of the address (RFC 7617)."""
    if api_key:
        return {"Authorization": f"Bearer {api_key}"}
    if url.user is None and url.password is None:
        return {}
    pair = f"{url.user or ''}:{url.password or ''}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body, or as much of it."""
    pieces: list[bytes] = []
    while most > 0 and (piece := await response.content.read(most)):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)
