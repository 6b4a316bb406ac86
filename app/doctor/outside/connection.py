"""The connection itself: name, certificate, HTTP version."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from yarl import URL

from app.config.settings import is_loopback
from app.doctor.findings import Finding, note, ok, problem, warning
from app.tasks.timeouts import within

PATIENCE = 10.0  # s
DAY = 86_400  # s
SOON = 14  # days
CERTIFICATE, VERSION = "certificate", "HTTP version"


class Connected(NamedTuple):
    """How a server can be reached; `context` is `None` if it cannot."""

    context: ssl.SSLContext | None
    is_trusted: bool  # so that a token may be sent
    findings: list[Finding]


async def check(url: URL, cafile: str | None) -> Connected:
    """Connect once. `cafile` has certificates to trust beside the system's. Raises `OSError` if it cannot be read."""
    context = _context(cafile)
    try:
        return Connected(context, True, await _look(url, _context(cafile)))
    except ssl.SSLCertVerificationError as error:
        mend = "Get a certificate for this name (docs/deploy.md), or pass --ca FILE to trust your own."
        return await _without_trust(
            url, problem(CERTIFICATE, f"it is not valid: {error.verify_message}", mend)
        )
    except TimeoutError:
        mend = "Check the firewall, and that the proxy runs."
        return _unreachable(f"no connection within {PATIENCE:g} s", mend)
    except socket.gaierror as error:
        mend = "Check the name, and its A and AAAA records."
        return _unreachable(f"{url.host} has no address: {error.strerror}", mend)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        mend = "Check the port, and that the proxy runs and has TLS there."
        return _unreachable(f"no connection: {reason}", mend)


def _context(cafile: str | None, *, is_trusted: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if cafile is not None:
        context.load_verify_locations(cafile)
    if not is_trusted:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _unreachable(text: str, mend: str) -> Connected:
    return Connected(None, False, [problem("connection", text, mend)])


async def _without_trust(url: URL, finding: Finding) -> Connected:
    """Go on without trust, so that the other checks can be made. A token must not be sent then."""
    findings = [finding]
    with suppress(OSError, TimeoutError):
        findings += await _look(url, _context(None, is_trusted=False))
    return Connected(_context(None, is_trusted=False), False, findings)


async def _look(url: URL, context: ssl.SSLContext) -> list[Finding]:
    if url.scheme == "http":
        _, writer = await within(PATIENCE, asyncio.open_connection(url.host, url.port))
        writer.close()
        return [_plain(url)]
    context.set_alpn_protocols(["h2", "http/1.1"])  # what a browser offers
    _, writer = await within(PATIENCE, asyncio.open_connection(url.host, url.port, ssl=context))
    try:
        tls: Any = writer.get_extra_info("ssl_object")
        return [_version(tls.selected_alpn_protocol()), *_expiry(tls.getpeercert() or {})]
    finally:
        writer.close()


def _plain(url: URL) -> Finding:
    if is_loopback(url.host or ""):
        return note(VERSION, "HTTP/1.1 without TLS, which is as it should be on this machine alone")
    return problem(
        VERSION,
        "HTTP/1.1 without TLS: tokens and chats are readable on the way",
        "Put nginx or Caddy with a certificate in front: docs/deploy.md.",
    )


def _version(protocol: str | None) -> Finding:
    if protocol == "h2":
        return ok(VERSION, "HTTP/2")
    return warning(
        VERSION,
        "HTTP/1.1 only: a browser opens six connections to a server, and each event stream takes one of them",
        "Turn on HTTP/2: nginx `listen 443 ssl http2;` (from 1.25.1 on `http2 on;`); Caddy has it by itself.",
    )


def _expiry(certificate: dict[str, Any]) -> Iterator[Finding]:
    if "notAfter" not in certificate:
        return
    days = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / DAY
    text = f"valid for {days:.0f} more days"
    if days > SOON:
        yield ok(CERTIFICATE, text)
    else:
        yield warning(
            CERTIFICATE, text, "Renew it, and check that renewal is automatic (`certbot renew --dry-run`)."
        )
