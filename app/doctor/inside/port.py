"""The address that the server listens on: is it free, or is a Tailrace there already?"""

from __future__ import annotations

import asyncio

from app.config.settings import Settings
from app.doctor.findings import Finding, note, ok, problem
from app.tasks.timeouts import within

CHECK = "port"
PATIENCE = 3.0  # s
MOST = 4096  # bytes of the answer
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on


async def check(settings: Settings) -> Finding:
    """Ask whoever listens there for `/healthz`."""
    host, where = EVERYWHERE.get(settings.host, settings.host), f"{settings.host}:{settings.port}"
    if settings.port == 0:
        return note(CHECK, "a free port is chosen at each start")
    try:
        answer = await within(PATIENCE, _ask(host, settings.port))
    except (OSError, TimeoutError) as error:
        if isinstance(error, ConnectionRefusedError):
            return note(CHECK, f"nothing listens on {where}, so the server is not running")
        return problem(
            CHECK, f"{where}: {str(error) or 'no answer'}", "Check TAILRACE_HOST and TAILRACE_PORT."
        )
    if b'"status":"ok"' in answer:
        return ok(CHECK, f"a server is running on {where}")
    return problem(
        CHECK, f"another program listens on {where}", "Stop it, or set TAILRACE_PORT to another port."
    )


async def _ask(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while len(answer) < MOST and (piece := await reader.read(MOST)):
            answer += piece
        return answer
    finally:
        writer.close()
