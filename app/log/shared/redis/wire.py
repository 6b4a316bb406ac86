"""One connection to Redis: commands leave together once per turn of the loop, replies arrive in their order."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol, cast

import hiredis

from app.log.shared.redis.errors import Lost
from app.tasks.reports import report

Reply = Any  # bytes, int, None, a list of replies, or an exception: `hiredis.ReplyError`, `Lost`
OnReply = Callable[[Reply], None]

REPLY_SECONDS = 2.0  # for which no reply comes while some are awaited; then the connection is taken for dead

# Errors that concern the server, not a key: nothing else would fare better there, so the connection is dropped.
SERVER_ERRORS = (
    *("ASK ", "BUSY ", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "MOVED ", "NOAUTH", "NOPERM"),
    *("NOREPLICAS", "OOM", "READONLY", "TRYAGAIN"),
)
# Errors that say where a key is, in a Redis Cluster, or that no server has it now. With a server alone they are of the
# kind above.
ELSEWHERE = ("ASK ", "MOVED ")
REDIRECTS = (*ELSEWHERE, "CLUSTERDOWN", "TRYAGAIN")


class Source(Protocol):
    """Has commands to send."""

    def fill(self) -> None:
        """Send them now. Called once per turn of the loop, whatever has gathered since."""
        ...


def command(*words: str | bytes | int) -> bytes:
    """Encode a command in the protocol of Redis (RESP2)."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


@cache
def client_context() -> ssl.SSLContext:
    """Return what connections with TLS have in common."""
    return ssl.create_default_context()


def tls_context(is_tls: bool) -> ssl.SSLContext | None:
    """Return what a connection needs for TLS, `None` without. Made once: it takes 25 ms, and nothing else runs then."""
    return client_context() if is_tls else None


def auth(user: str, password: str) -> tuple[str, ...]:
    """Return the words of the command that signs in. Without `user` it is the server's only password."""
    return ("AUTH", *([user] if user else []), password)


class Wire(asyncio.Protocol):
    """A connection until it is lost. `lost` is then done with the reason. A reply of `server_errors` ends it."""

    def __init__(self, server_errors: tuple[str, ...] = SERVER_ERRORS) -> None:
        self._server_errors = server_errors
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._sources: list[Source] = []
        self._out: list[bytes] = []
        self._awaited: deque[OnReply] = deque()
        self._is_due = False
        self._replies = 0
        self._seen = 0  # of them, when the watch last looked
        self._watch: asyncio.TimerHandle | None = None
        self._reason = "the connection was closed"

    def __repr__(self) -> str:
        return f"<Wire awaited={len(self._awaited)} {self.lost.result() if self.lost.done() else 'up'}>"

    # ---- out -------------------------------------------------------------------------------------------------

    def wants(self, source: Source) -> None:
        """Let `source` send in this turn of the loop. Hot path: called for every token of every stream."""
        self._sources.append(source)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush)

    def send(self, encoded: bytes, on_reply: OnReply) -> None:
        """Send a command with what else this turn of the loop sends. `on_reply` gets its reply, or `Lost`."""
        if self.lost.done():
            self._loop.call_soon(on_reply, Lost(self._reason))
            return
        self._out.append(encoded)
        self._awaited.append(on_reply)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush)

    def ask(self, *words: str | bytes | int) -> asyncio.Future[Reply]:
        """Send a command; the future gets its reply. An error in place of the reply is raised. Bounded by the watch."""
        future: asyncio.Future[Reply] = self._loop.create_future()

        def answer(reply: Reply) -> None:
            if future.done():
                return
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        self.send(command(*words), answer)
        return future

    def _flush(self) -> None:
        if self._sources:
            sources, self._sources = self._sources, []
            for source in sources:
                try:
                    source.fill()
                except Exception as error:  # noqa: BLE001 - it is reported; others have something to send, too
                    report("a command for Redis could not be made", error)
        self._is_due = False
        out, self._out = self._out, []
        if self._transport is None or self.lost.done() or not out:
            return
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        if self._watch is None:
            self._seen = self._replies
            self._watch = self._loop.call_later(REPLY_SECONDS, self._look)

    def _look(self) -> None:
        """Find out whether replies still come. No timer runs while none is awaited."""
        self._watch = None
        if not self._awaited:
            return
        if self._replies == self._seen:
            self.drop(f"no reply within {REPLY_SECONDS:g} s")
            return
        self._seen = self._replies
        self._watch = self._loop.call_later(REPLY_SECONDS, self._look)

    # ---- in --------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # of uvloop, whose class is none of asyncio's

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`. Hot path."""
        awaited = self._awaited
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._replies += 1
                on_reply = awaited.popleft()
                if reply.__class__ is hiredis.ReplyError and str(reply).startswith(self._server_errors):
                    awaited.appendleft(on_reply)
                    self.drop(f"Redis refuses: {reply}")
                    return
                try:
                    on_reply(reply)
                except Exception as error:  # noqa: BLE001 - it is reported; the other replies have their own owners
                    report("a reply of Redis could not be processed", error)
        except (hiredis.ProtocolError, IndexError) as error:
            self.drop(f"what came is no reply of Redis: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._end(self._reason if exc is None else f"the connection broke: {str(exc) or type(exc).__name__}")

    # ---- end -------------------------------------------------------------------------------------------------

    def drop(self, reason: str) -> None:
        """Close the connection at once; what was sent may or may not be done."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def _end(self, reason: str) -> None:
        if self.lost.done():
            return
        self._reason = reason
        self.lost.set_result(reason)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        awaited, self._awaited = self._awaited, deque()
        self._out.clear()
        self._sources.clear()
        lost = Lost(reason)
        for on_reply in awaited:
            try:
                on_reply(lost)
            except Exception as error:  # noqa: BLE001 - it is reported; each has its own owner
                report("a lost reply of Redis could not be processed", error)
