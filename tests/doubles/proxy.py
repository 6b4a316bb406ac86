"""A reverse proxy for tests that does one thing wrong, or nothing."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, web
from multidict import CIMultiDict, CIMultiDictProxy

HOP = ("Transfer-Encoding", "Content-Length", "Connection", "Date", "Keep-Alive")
POLICY = "Content-Security-Policy"


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """What a proxy does wrong; by default nothing."""

    buffers: bool = False  # sends headers at once, and the body when it is complete
    holds_back: bool = False  # sends nothing before the body is complete
    holds_first: float = 0.0  # seconds that the first bytes of an event stream wait for what follows
    gathers: float = 0.0  # the same, of the bytes after them
    compresses: bool = False
    cuts_after: float | None = None  # seconds that a response may take
    changes_type: bool = False
    drops_cache_control: bool = False
    replaces_host: bool = False
    host_alone: str | None = None  # a host of its own choice
    hides_scheme: bool = False
    claims_http: bool = False
    passes_on_claims: bool = False  # X-Forwarded-… of the client
    policy: str | None = None  # "drop", "add" or "replace"
    most_bytes: int | None = None
    refuses_delete: bool = False
    drops_authorization: bool = False
    tells_version: bool = False
    signs_on: bool = False  # asks for a cookie of its own (nothing wrong with that)
    user: str | None = None  # whom it names to the server
    status: int | None = None  # its answer to everything
    location: str = ""


class ProxyDouble:
    """Passes requests on to `upstream`, a base URL. Use `serving`."""

    def __init__(self, upstream: str, wrong: Wrong, *, is_https: bool) -> None:
        self.upstream = upstream
        self.wrong = wrong
        self.url = ""
        self._scheme = "https" if is_https else "http"

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None) -> AsyncIterator[ProxyDouble]:
        """Serve on a free loopback port for the length of the block."""
        app = web.Application(client_max_size=2**28)
        timeout = ClientTimeout(total=None)
        async with ClientSession(
            auto_decompress=False, cookie_jar=DummyCookieJar(), timeout=timeout
        ) as session:

            async def answer(request: web.Request) -> web.StreamResponse:
                return await self._answer(request, session)

            app.router.add_route("*", "/{path:.*}", answer, expect_handler=self._expect)
            runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
                self.url = f"{self._scheme}://localhost:{runner.addresses[0][1]}"
                yield self
            finally:
                await runner.cleanup()

    async def _expect(self, request: web.Request) -> web.StreamResponse | None:
        """Turn down a body before it comes; else let it come."""
        most = self.wrong.most_bytes
        if most is not None and (request.content_length or 0) > most:
            return web.Response(status=413, text="too large")
        if request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return None

    async def _answer(self, request: web.Request, session: ClientSession) -> web.StreamResponse:
        wrong = self.wrong
        if wrong.status is not None:
            return web.Response(status=wrong.status, headers={"Location": wrong.location})
        if wrong.signs_on and request.cookies.get("signed") != "on":
            return web.Response(status=401, text="sign on")
        if wrong.refuses_delete and request.method == "DELETE":
            return web.Response(status=405, text="not allowed")
        body = await request.read()
        async with session.request(
            request.method,
            f"{self.upstream}{request.rel_url}",
            headers=self._sent(request),
            data=body or None,
            allow_redirects=False,
        ) as got:
            response = web.StreamResponse(status=got.status, headers=self._returned(got.headers))
            if not wrong.holds_back:
                await response.prepare(request)
            try:
                async with asyncio.timeout(wrong.cuts_after):
                    kept = await self._copy(got, response)
            except TimeoutError:
                if request.transport is not None:
                    request.transport.close()
                return response
            if wrong.holds_back:
                await response.prepare(request)
            await response.write(kept)
            return response

    async def _copy(self, got: ClientResponse, response: web.StreamResponse) -> bytes:
        """Pass on a body; return what is kept until its end."""
        is_stream = got.content_type == "text/event-stream"
        packing = zlib.compressobj(wbits=31) if is_stream and self.wrong.compresses else None
        kept = b""
        clock = asyncio.get_running_loop().time
        first, later = (self.wrong.holds_first, self.wrong.gathers) if is_stream else (0.0, 0.0)
        due = clock() + first
        async for piece in got.content.iter_any():
            if self.wrong.buffers or self.wrong.holds_back:
                kept += piece
            elif packing is not None:
                await response.write(packing.compress(piece) + packing.flush(zlib.Z_SYNC_FLUSH))
            elif clock() < due:
                kept += piece
            else:
                await response.write(kept + piece)
                kept, due = b"", clock() + later
        return kept

    def _sent(self, request: web.Request) -> CIMultiDict[str]:
        wrong = self.wrong
        headers = CIMultiDict(request.headers)
        claims = [name for name in headers if name.startswith(("X-Forwarded-", "Forwarded"))]
        for name in (*HOP, "Expect", *([] if wrong.passes_on_claims else claims)):
            headers.popall(name, None)
        if wrong.drops_authorization:
            headers.popall("Authorization", None)
        if wrong.user is not None:
            headers["X-Forwarded-User"] = wrong.user
        if wrong.replaces_host:
            headers["Host"] = self.upstream.removeprefix("http://")
        if wrong.host_alone is not None:
            headers["Host"] = wrong.host_alone
        if not wrong.hides_scheme:
            headers.setdefault("X-Forwarded-Proto", "http" if wrong.claims_http else self._scheme)
        return headers

    def _returned(self, got: CIMultiDictProxy[str]) -> CIMultiDict[str]:
        wrong = self.wrong
        headers = CIMultiDict((name, value) for name, value in got.items() if name not in HOP)
        headers.setdefault("Strict-Transport-Security", "max-age=63072000")
        headers["Server"] = "proxy/1.2.3" if wrong.tells_version else "proxy"
        if wrong.compresses and headers.get("Content-Type", "").startswith("text/event-stream"):
            headers["Content-Encoding"] = "gzip"
        if wrong.changes_type:
            headers["Content-Type"] = "text/plain"
        if wrong.drops_cache_control:
            headers.popall("Cache-Control", None)
        if wrong.policy == "drop":
            headers.popall(POLICY, None)
        elif wrong.policy == "add":
            headers.add(POLICY, "default-src 'self'")
        elif wrong.policy == "replace":
            headers[POLICY] = "default-src * 'unsafe-inline'"
        return headers
