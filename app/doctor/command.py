"""The command `tailrace doctor`."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from yarl import URL

from app.config.credentials import with_credentials
from app.config.settings import SettingsError
from app.doctor import findings
from app.doctor.findings import Finding, problem

WRONG_USE = 2  # argparse's exit code
LISTEN, MOST = 65.0, 600.0  # s; most proxies that cut event streams do so within a minute
USER_HEADER = "X-Forwarded-User"
_NAME = re.compile(r"[A-Za-z0-9-]+")


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--url", type=_url, help="check the server at this address from outside instead")
    parser.add_argument(
        "--token",
        help="access token for --url; `-` reads it from standard input. Default: TAILRACE_ACCESS_TOKEN",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=LISTEN,
        help=f"how long to listen to an event stream, up to {MOST:g} (default: {LISTEN:g})",
    )
    parser.add_argument(
        "--header",
        type=_header,
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="header for a sign-on in front of the server, such as a browser's Cookie; may be repeated",
    )
    parser.add_argument("--ca", metavar="FILE", help="certificates to trust beside the system's, in PEM form")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _url(text: str) -> URL:
    url = URL(text if "://" in text else f"https://{text}")
    if url.scheme not in ("http", "https") or not url.host:
        raise ArgumentTypeError(f"not an http:// or https:// address: {text!r}")
    try:
        url.host.encode("idna")  # as it is looked up
    except UnicodeError:
        raise ArgumentTypeError(f"not the name of a machine: {url.host[:80]!r}") from None
    if url.user is not None or url.password is not None:
        raise ArgumentTypeError("an address without a user and password; use --token")
    return url.with_path(url.path.rstrip("/") + "/").with_fragment(None)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not _NAME.fullmatch(name) or not value.strip().isprintable():
        raise ArgumentTypeError("expected a header as NAME:VALUE")  # the value may be a secret
    return name, value.strip()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= MOST:
        raise ArgumentTypeError(f"expected seconds above 0, up to {MOST:g}")
    return seconds


def run(arguments: Namespace) -> int:
    """Run the checks and print what they find. Return 0, 1 if there is a problem, or 2 for wrong use."""
    return asyncio.run(_run(arguments))


async def _run(arguments: Namespace) -> int:
    found: list[Finding] = []
    try:
        environ = with_credentials(os.environ)
        checks = _inside(environ) if arguments.url is None else _outside(arguments, environ)
        async with aclosing(checks):
            async for finding in checks:
                found.append(finding)
                if not arguments.json:
                    print(findings.as_text(finding), flush=True)
    except SettingsError as error:
        found.append(problem("settings", str(error), "Correct the credentials of the unit."))
        if not arguments.json:
            print(findings.as_text(found[-1]))
    except OSError as error:
        print(
            f"tailrace: cannot read {arguments.ca or error.filename}: {error.strerror or error}",
            file=sys.stderr,
        )
        return WRONG_USE
    print(findings.as_json(found) if arguments.json else findings.summary(found))
    return 1 if findings.failed(found) else 0


async def _inside(environ: Mapping[str, str]) -> AsyncGenerator[Finding, None]:
    from app.doctor.inside import look, settings
    from app.telemetry import logging
    from app.wiring import models
    from app.wiring.obstacles import obstacles

    read = settings.read(environ)
    for finding in read.findings:
        yield finding
    if read.chosen is None:
        return
    logging.configure("logfmt", "error")  # the findings say what the log would
    for reason in obstacles(read.chosen):
        yield problem("start", reason, "Correct it. The server does not start until then.")
    async for finding in look.check(read.chosen, models.opened_catalog):
        yield finding


async def _outside(arguments: Namespace, environ: Mapping[str, str]) -> AsyncGenerator[Finding, None]:
    from app.doctor.outside import visit

    token = arguments.token or environ.get("TAILRACE_ACCESS_TOKEN")
    if token == "-":
        token = sys.stdin.readline()
    async for finding in visit.check(
        arguments.url,
        token=(token or "").strip() or None,
        seconds=arguments.seconds,
        cafile=arguments.ca,
        own=dict(arguments.header),
        user_header=environ.get("TAILRACE_PROXY_USER_HEADER") or USER_HEADER,
    ):
        yield finding
