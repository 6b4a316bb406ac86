"""What the proxy says of the browser: the host and the scheme, and whether strangers can say it in its place.

Each question is a DELETE for the stream of a session that does not exist, so nothing changes. The server compares the
`Origin` with the host and the scheme that it knows before it asks for a token, and answers 403 if they differ.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from app.doctor.findings import Finding, ok, problem
from app.doctor.outside.visitor import Answer, Visitor

HOST, SCHEME = "forwarded host", "forwarded scheme"
PASS_HOST = "Pass on the browser's host: nginx `proxy_set_header Host $http_host;`; Caddy does so by itself."
PASS_SCHEME = "nginx: `proxy_set_header X-Forwarded-Proto $scheme;`; Caddy does so by itself."


async def check(visitor: Visitor) -> AsyncIterator[Finding]:
    """Compare what the server knows with the address of the visitor. Raises `Unreachable`."""
    right = await _ask(visitor, f"{visitor.url.scheme}://{visitor.host}")
    takes_http = visitor.is_https and not _is_foreign(await _ask(visitor, f"http://{visitor.host}"))
    if takes_http and (_is_foreign(right) or _has_arrived(right)):
        yield _unknown_scheme(is_refused=_is_foreign(right))
        return
    if (finding := _about_host(visitor, right)) is not None:
        yield finding
        return
    yield ok(HOST, f"the server knows that it was asked as {visitor.host}")
    if not visitor.is_https:
        return
    if _is_foreign(await _ask(visitor, f"https://{visitor.host}", {"X-Forwarded-Proto": "http"})):
        yield problem(
            SCHEME,
            "a client can claim another scheme: the proxy passes on its X-Forwarded-Proto",
            f"Replace the header, do not append to it. {PASS_SCHEME}",
        )
    else:
        yield ok(SCHEME, "the server knows that it was asked with HTTPS, whatever a client claims")


def _unknown_scheme(*, is_refused: bool) -> Finding:
    effect = "nothing can be sent from its pages" if is_refused else "its cookies are not marked Secure"
    return problem(
        SCHEME,
        f"the server does not know that browsers use HTTPS, so {effect}",
        f"Pass on the scheme. {PASS_SCHEME} TAILRACE_TRUSTED_PROXIES must list the proxy, if it is set.",
    )


async def _ask(visitor: Visitor, origin: str, more: Mapping[str, str] | None = None) -> Answer:
    path = f"api/sessions/doctor-{secrets.token_hex(8)}/stream?wait=0"
    return await visitor.ask("DELETE", path, headers={"Origin": origin, **(more or {})})


def _about_host(visitor: Visitor, answer: Answer) -> Finding | None:
    code, detail = _problem(answer)
    if code == "host_not_allowed" and repr(visitor.host) in detail:
        mend = f"Set TAILRACE_ALLOWED_HOSTS={visitor.url.host} and restart the server."
        return problem(HOST, f"the server may not answer to {visitor.host}", mend)
    if code == "host_not_allowed":
        return problem(HOST, f"the proxy replaces the host by one that is not allowed. {detail}", PASS_HOST)
    if code == "foreign_origin":
        text = f"the server takes its own pages for those of another site. {detail}"
        return problem(HOST, text, f"{PASS_HOST} {PASS_SCHEME}")
    if answer.status >= 500:
        mend = "See the log of the proxy, or of Tailrace."
        return problem(HOST, f"not checked: a DELETE is answered {answer.status}", mend)
    if not _has_arrived(answer):
        mend = "Let the proxy pass on GET, POST, PATCH and DELETE."
        return problem(HOST, f"something in between answers a DELETE with {answer.status}", mend)
    return None


def _has_arrived(answer: Answer) -> bool:
    """Return whether the answer is one of Tailrace that has to do with the question."""
    code, _ = _problem(answer)
    return answer.status < 400 or (answer.status != 405 and code not in ("", "host_not_allowed"))


def _is_foreign(answer: Answer) -> bool:
    return _problem(answer)[0] == "foreign_origin"


def _problem(answer: Answer) -> tuple[str, str]:
    """Return code and detail of a problem that Tailrace reports, else empty texts (RFC 9457)."""
    try:
        body: Any = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", ""
    if not isinstance(body, dict):
        return "", ""
    return str(body.get("code", "")), str(body.get("detail", ""))
