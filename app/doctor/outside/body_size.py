"""Large requests: does a prompt with images get through? Only headers are sent before the connection is closed."""

from __future__ import annotations

import asyncio
import secrets
import ssl

from app.doctor.findings import Finding, ok, problem
from app.doctor.outside.visitor import Unreachable, Visitor
from app.tasks.timeouts import within

CHECK = "request size"
PATIENCE = 5.0  # s to connect
WAIT = 2.0  # s; a proxy that turns a size down does so at once, others wait for the body
BYTES = 11 * 2**20  # 8 MiB of images (TAILRACE_MAX_IMAGE_BYTES), in base64
MOST = 4096  # bytes of the answer that are looked at


async def check(visitor: Visitor, context: ssl.SSLContext) -> Finding:
    """Announce a body of `BYTES`. Raises `Unreachable`."""
    answer = await _announce(visitor, context)
    status = answer.split(b" ", 2)[1:2]
    if status == [b"413"]:
        return problem(
            CHECK,
            f"a prompt with {BYTES / 2**20:.0f} MiB of images is turned down",
            "Allow 13 MiB, and 65 MiB for /api/sessions/import: nginx `client_max_body_size 13m;`.",
        )
    return ok(CHECK, "prompts with images get through")


async def _announce(visitor: Visitor, context: ssl.SSLContext) -> bytes:
    url = visitor.url
    target = f"{url.raw_path}api/sessions/doctor-{secrets.token_hex(8)}/streams"
    lines = [
        f"POST {target} HTTP/1.1",
        f"Host: {visitor.host}",
        "Content-Type: application/json",
        f"Content-Length: {BYTES}",
        "Expect: 100-continue",
        "Connection: close",
    ]
    lines += [f"{name}: {value}" for name, value in visitor.own.items()]
    if visitor.token is not None:
        lines.append(f"Authorization: Bearer {visitor.token}")
    try:
        tls = context if visitor.is_https else None
        reader, writer = await within(PATIENCE, asyncio.open_connection(url.host, url.port, ssl=tls))
    except (OSError, TimeoutError) as error:
        raise Unreachable(str(error) or "no connection") from error
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return await within(WAIT, reader.read(MOST))
    except TimeoutError:
        return b""
    except OSError as error:
        raise Unreachable(str(error)) from error
    finally:
        writer.close()
