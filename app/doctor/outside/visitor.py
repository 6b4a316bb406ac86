"""Sends the requests of the checks: bounded in time and size, without cookies, redirects or decompression."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

PATIENCE = 10.0  # s for a whole answer
MOST = 64 * 1024  # bytes of a body


class Unreachable(Exception):
    """No answer came. The message says why."""


class Answer(NamedTuple):
    """A response, with the first `MOST` bytes of its body."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class Visitor:
    """A client of one server. Without a token it is a stranger, unless `own` headers let it in at the proxy."""

    def __init__(
        self, url: URL, session: aiohttp.ClientSession, token: str | None, own: Mapping[str, str]
    ) -> None:
        self.url = url  # of the page, ending in a slash
        self.token = token
        self.own = own
        self._session = session

    @property
    def host(self) -> str:
        """The host with its port, as in the header `Host`."""
        return self.url.host_port_subcomponent or ""

    @property
    def is_https(self) -> bool:
        """Whether the address has TLS."""
        return self.url.scheme == "https"

    @asynccontextmanager
    async def asking(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        as_stranger: bool = False,
        within: float = PATIENCE,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request for a path below the page; yield the response once its headers are there.

        Raises `Unreachable`, also if the body breaks off inside the block.
        """
        sent = {**({} if as_stranger else self.own), **(headers or {})}
        if self.token is not None and not as_stranger:
            sent["Authorization"] = f"Bearer {self.token}"
        timeout = aiohttp.ClientTimeout(total=within)
        try:
            async with self._session.request(
                method, self.url.join(URL(path)), headers=sent, allow_redirects=False, timeout=timeout
            ) as response:
                yield response
        except TimeoutError as error:
            raise Unreachable(f"no answer within {within:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(str(error) or type(error).__name__) from error

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        as_stranger: bool = False,
    ) -> Answer:
        """Send a request and read the answer. Raises `Unreachable`."""
        async with self.asking(method, path, headers=headers, as_stranger=as_stranger) as response:
            body = b""
            while len(body) < MOST and (piece := await response.content.read(MOST)):
                body += piece
            return Answer(response.status, response.headers, body[:MOST])


@asynccontextmanager
async def visiting(
    url: URL, token: str | None, own: Mapping[str, str], context: ssl.SSLContext
) -> AsyncIterator[Visitor]:
    """Yield a visitor; close its connections at the end of the block."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=["Accept-Encoding"],
    ) as session:
        yield Visitor(url, session, token, own)
