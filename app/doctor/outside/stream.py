"""Event streams: does each event arrive at once, as it was sent, and for as long as it takes?

The stream is that of a session which does not exist. Nobody writes to it, so nothing is left behind, and the server
sends its first bytes at once and then only heartbeats.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import aiohttp

from app.doctor.findings import Finding, note, ok, problem, warning
from app.doctor.outside.visitor import Unreachable, Visitor

CHECK = "stream"
FIRST = 5.0  # s for the first bytes, which the server sends with the headers
LATER = 1.0  # s that they may come later than a plain answer
HEARTBEAT = b"event: heartbeat\n"
SILENCE = 40.0  # s; a heartbeat comes every 15 s unless TAILRACE_HEARTBEAT says otherwise
ENCODINGS = "gzip, deflate, br, zstd"
UNBUFFERED = "nginx: `proxy_buffering off;`; Apache: `flushpackets=on`; in general: no buffering for text/event-stream."


async def check(visitor: Visitor, seconds: float) -> AsyncIterator[Finding]:
    """Listen for `seconds`. Raises `Unreachable` if not even a plain request is answered."""
    began = time.monotonic()
    await visitor.ask("GET", "healthz")
    plain = time.monotonic() - began
    session = f"doctor-{secrets.token_hex(8)}"
    headers = {"Accept": "text/event-stream", "Accept-Encoding": ENCODINGS}
    began = time.monotonic()
    try:
        async with visitor.asking(
            "GET", f"api/sessions/{session}/events", headers=headers, within=seconds + 2 * FIRST + 1
        ) as response:
            if response.status != 200:
                yield _refused(response.status, visitor)
                return
            for finding in _as_sent(response):
                yield finding
            if not await _first_bytes(response):
                yield _held_back()
                return
            yield _began(time.monotonic() - began, plain)
            yield await _until_cut(response, began, seconds)
    except Unreachable as error:
        if time.monotonic() - began >= FIRST:
            yield _held_back()
        else:
            yield problem(CHECK, f"it broke off: {error}", "See the log of the proxy, or of Tailrace.")


def _refused(status: int, visitor: Visitor) -> Finding:
    if status in (401, 403) and visitor.token is None and not visitor.own:
        return problem(
            CHECK,
            "not checked, because the server asks for a token",
            "Set TAILRACE_ACCESS_TOKEN in the environment of this command, or use `--token -` and type it.",
        )
    if status == 401:
        return problem(CHECK, "not checked, because the server rejected the token", "Use a valid token.")
    if status == 421:
        return note(CHECK, "not checked, because the server does not answer to the host that it is sent")
    return problem(CHECK, f"the server answered {status}", "See the log of the proxy, or of Tailrace.")


def _began(after: float, plain: float) -> Finding:
    if after <= plain + LATER:
        return ok(CHECK, f"the first bytes came after {after:.1f} s")
    return warning(
        CHECK,
        f"its first bytes came after {after:.1f} s, and a plain answer after {plain:.1f} s: something in between "
        "buffers event streams for a time, and answers appear in jerks",
        UNBUFFERED,
    )


def _held_back() -> Finding:
    return problem(
        CHECK,
        f"its first bytes did not arrive within {FIRST:g} s: something in between buffers event streams, and answers "
        "appear late or all at once",
        UNBUFFERED,
    )


def _as_sent(response: aiohttp.ClientResponse) -> list[Finding]:
    findings = []
    if encoding := response.headers.get("Content-Encoding"):
        findings.append(
            problem(
                CHECK,
                f"something in between compresses it ({encoding}), which holds events back",
                "nginx: `gzip off;`; Caddy: no `encode` for this site; a CDN: no compression of text/event-stream.",
            )
        )
    if response.content_type != "text/event-stream":
        findings.append(
            problem(
                CHECK,
                f"its type arrives as {response.content_type}",
                "Pass on Content-Type as Tailrace sets it.",
            )
        )
    if "no-store" not in response.headers.get("Cache-Control", ""):
        findings.append(
            warning(CHECK, "something in between removes `Cache-Control: no-store`", "Pass on Cache-Control.")
        )
    return findings


async def _first_bytes(response: aiohttp.ClientResponse) -> bool:
    reading = asyncio.ensure_future(response.content.readany())
    done, _ = await asyncio.wait({reading}, timeout=FIRST)
    if not done:
        reading.cancel()
        await asyncio.wait({reading})
        return False
    return bool(reading.result())


async def _until_cut(response: aiohttp.ClientResponse, began: float, seconds: float) -> Finding:
    """Read until the time is over or the stream ends."""
    last, end = time.monotonic(), began + seconds
    longest = 0.0
    heap = 1  # heartbeats that came at once
    while (now := time.monotonic()) < end:
        reading = asyncio.ensure_future(response.content.readany())
        done, _ = await asyncio.wait({reading}, timeout=end - now)
        if not done:
            reading.cancel()
            await asyncio.wait({reading})
            break
        failure = reading.exception()
        if failure is not None or not reading.result():
            return _cut(time.monotonic() - began)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
        heap = max(heap, reading.result().count(HEARTBEAT))
    longest = max(longest, time.monotonic() - last)
    if longest > SILENCE:
        return warning(
            CHECK,
            f"no heartbeat came for {longest:.0f} s",
            "Unless TAILRACE_HEARTBEAT is that long, something in between buffers event streams. "
            + UNBUFFERED,
        )
    if heap > 1:
        return warning(
            CHECK,
            f"{heap} heartbeats came at once: something in between buffers event streams, and answers appear in jerks",
            UNBUFFERED,
        )
    return ok(CHECK, f"it stayed open for {time.monotonic() - began:.0f} s")


def _cut(after: float) -> Finding:
    return problem(
        CHECK,
        f"it was cut after {after:.0f} s",
        "Raise the read timeout of what is in between above that: nginx `proxy_read_timeout 75s;`, a load balancer's "
        "idle or request timeout. If the server was just restarting, run this again.",
    )
