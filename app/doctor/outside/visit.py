"""All checks of one address, in the order in which they make sense."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType

from yarl import URL

from app.doctor.findings import Finding, ok, problem, warning
from app.doctor.outside import access, body_size, connection, forwarded, headers, stream
from app.doctor.outside.visitor import Unreachable, Visitor, visiting

CHECK = "server"


async def check(
    url: URL,
    *,
    token: str | None,
    seconds: float,
    cafile: str | None,
    user_header: str,
    own: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Finding]:
    """Check a server from outside; listen to an event stream for `seconds`. Raises `OSError` for a bad `cafile`.

    `own` are headers that a sign-on of the proxy asks for. They are secret, as the token is.
    """
    connected = await connection.check(url, cafile)
    for finding in connected.findings:
        yield finding
    if connected.context is None:
        return
    if (token is not None or own) and not connected.is_trusted:
        text = "no token was sent, because the certificate is not valid"
        yield warning(CHECK, text, "Mend the certificate first.")
        token, own = None, {}
    async with visiting(url, token, own, connected.context) as visitor:
        try:
            async for finding in _visit(visitor, connected.context, seconds, user_header):
                yield finding
        except Unreachable as error:
            yield problem(CHECK, str(error), "See the log of the proxy, or of Tailrace.")


async def _visit(
    visitor: Visitor, context: ssl.SSLContext, seconds: float, user_header: str
) -> AsyncIterator[Finding]:
    there = await _identify(visitor)
    yield there
    if there.mend:
        return
    listening = asyncio.create_task(_all(stream.check(visitor, seconds)), name="doctor-stream")
    try:
        for checks in (
            forwarded.check(visitor),
            headers.check(visitor),
            access.check(visitor, user_header),
            access.check_token(visitor),
        ):
            async for finding in checks:
                yield finding
        yield await body_size.check(visitor, context)
        for finding in await listening:
            yield finding
    finally:
        listening.cancel()
        await asyncio.wait({listening})


async def _all(checks: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in checks]


async def _identify(visitor: Visitor) -> Finding:
    """Return whether Tailrace answers; `/healthz` is open to everybody and every name."""
    answer = await visitor.ask("GET", "healthz", headers={"Accept": "application/json"})
    if answer.status == 200 and b'"status"' in answer.body:
        return ok(CHECK, "Tailrace answers")
    if 300 <= answer.status < 400:
        where = answer.headers.get("Location", "elsewhere")
        return problem(CHECK, f"the address redirects to {where}", "Check that address: `--url` with it.")
    if answer.status in (401, 403):
        mend = "Sign in by hand, and pass what the browser sends with --header, such as its Cookie."
        return problem(CHECK, f"a sign-on in front of Tailrace refuses this command ({answer.status})", mend)
    if answer.status in (502, 503, 504):
        mend = "Start Tailrace, and check the address and port in the proxy's configuration."
        return problem(CHECK, f"the proxy does not reach Tailrace ({answer.status})", mend)
    return problem(
        CHECK,
        f"{visitor.url}healthz is answered {answer.status}, and not by Tailrace",
        "Check the address, and the path that Tailrace is served under (TAILRACE_BASE_PATH).",
    )
