"""The HTTP side of a model server: one aiohttp session, and a fresh connection for every request."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from contextvars import ContextVar
from io import BytesIO
from typing import Any, Protocol, TypeVar
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from app.backends.faults import Voice

CONNECT_TIMEOUT = 10.0  # s, name lookup and TLS included
QUESTION_TIMEOUT = 5.0  # s, for the short questions: which models, which context
LARGE_BODY = 1024 * 1024  # bytes; from here on aiohttp wants to send a body in pieces, and warns otherwise
MAX_ERROR_BODY = 16 * 1024  # bytes of an error answer that are read

T = TypeVar("T")

# Who wants to know the connection that is being made in this task. See `_Connector`.
on_connection: ContextVar[Callable[[ResponseHandler], None] | None] = ContextVar(
    "on_connection", default=None
)


class Abortable(Protocol):
    """What `Upstream` does to the generations that are still open when it closes."""

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


class Upstream:
    """One model server at one address. It holds no connection between requests."""

    def __init__(self, base_url: str, voice: Voice, *, api_key: str | None = None) -> None:
        self.url = URL(base_url.rstrip("/"))
        self.voice = voice
        self.broke = False  # a connection broke since somebody last looked
        self._api_key = api_key
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
        return await self._opened().post(self.url / path, data=data, headers=headers, allow_redirects=False)

    async def ask(self, path: str, read: Callable[[bytes], T], body: bytes | None = None) -> T:
        """Ask a short question, bounded, and return what `read` makes of its answer. Raises `UpstreamError`.

        `read` raises `ValueError` (as msgspec does) or `RecursionError` for what it cannot read.
        """
        try:
            async with asyncio.timeout(QUESTION_TIMEOUT):
                return await self._ask(path, read, body)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            raise self.voice.before_answer(error) from error

    async def _ask(self, path: str, read: Callable[[bytes], T], body: bytes | None) -> T:
        method = "GET" if body is None else "POST"
        headers = {"Content-Type": "application/json"} if body is not None else None
        session = self._opened()
        async with session.request(
            method, self.url / path, data=body, headers=headers, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise self.voice.rejected(response.status, await response.content.read(MAX_ERROR_BODY))
            content = await response.read()
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

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise aiohttp.ClientConnectionError("closed")
        if self._session is None:  # made here and not earlier, because aiohttp wants a running loop
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        headers = {"Accept-Encoding": "identity"}  # compression would only delay tokens
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
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
    """Return `url` as it may be shown, without user and password."""
    return str(url.with_user(None)) if url.host else str(url)
