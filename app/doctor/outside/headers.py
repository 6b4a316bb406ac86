"""Headers of a page: the Content-Security-Policy and the others that protect it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from app.doctor.findings import Finding, note, ok, problem, warning
from app.doctor.outside.visitor import Answer, Unreachable, Visitor
from app.web.security.headers import CONTENT_SECURITY_POLICY, HEADERS

CHECK = "headers"
POLICY, HSTS = "Content-Security-Policy", "Strict-Transport-Security"
YEAR = 31_536_000  # s; what browsers ask for before they take a name into their own list
OPEN = "frame-ancestors"  # the operator may choose it


async def check(visitor: Visitor) -> AsyncIterator[Finding]:
    """Look at the headers of the page. Raises `Unreachable`."""
    page = await visitor.ask("GET", "", headers={"Accept": "text/html"})
    yield _policy(page)
    for name in sorted(HEADERS.keys() - {POLICY}):
        if name not in page.headers:
            yield warning(CHECK, f"{name} is missing", "Let the proxy pass it on as Tailrace sets it.")
    for finding in (*_hsts(visitor, page), *_version(page)):
        yield finding
    if visitor.is_https and visitor.url.is_default_port():
        yield await _redirect(visitor)


def _policy(page: Answer) -> Finding:
    policies = page.headers.getall(POLICY, [])
    if not policies:
        mend = "Let the proxy pass it on. Without it, whatever slips into a page can run scripts."
        return problem("CSP", f"{POLICY} is missing", mend)
    if [_directives(policy) for policy in policies] == [_directives(CONTENT_SECURITY_POLICY)]:
        return ok("CSP", "as Tailrace sets it")
    if len(policies) > 1:
        text = f"{POLICY} arrives {len(policies)} times; browsers enforce all of them, and the page may break"
        return problem("CSP", text, "Let the proxy add none of its own.")
    return problem(
        "CSP",
        f"{POLICY} is not the one that Tailrace {_release()} sets",
        "Let the proxy pass it on unchanged. If the server is of another release, compare with that one.",
    )


def _release() -> str:
    from app import __version__

    return __version__


def _directives(policy: str) -> set[str]:
    pieces = (" ".join(piece.split()) for piece in policy.split(";"))
    return {piece for piece in pieces if piece and not piece.startswith(OPEN)}


def _hsts(visitor: Visitor, page: Answer) -> Iterator[Finding]:
    if not visitor.is_https:
        return
    told = page.headers.get(HSTS, "").replace('"', "").lower()
    ages = [
        piece.partition("=")[2] for piece in told.replace(" ", "").split(";") if piece.startswith("max-age=")
    ]
    if ages and ages[0].isdecimal() and int(ages[0]) >= YEAR:
        yield ok(CHECK, "browsers use HTTPS from the second visit on (HSTS)")
    else:
        yield warning(
            CHECK,
            f"{HSTS} is missing, or its max-age is below a year",
            'nginx: `add_header Strict-Transport-Security "max-age=63072000" always;`',
        )


def _version(page: Answer) -> Iterator[Finding]:
    server = page.headers.get("Server", "")
    if any(letter.isdigit() for letter in server):
        yield note(
            CHECK, f"Server: {server} tells everybody which release runs", "nginx: `server_tokens off;`"
        )


async def _redirect(visitor: Visitor) -> Finding:
    try:
        plain = await visitor.ask("GET", str(visitor.url.with_scheme("http")), as_stranger=True)
    except Unreachable:
        return note(CHECK, "nothing answers plain HTTP, so the address has to be typed with https://")
    if plain.headers.get("Location", "").startswith("https://"):
        return ok(CHECK, "plain HTTP is redirected to HTTPS")
    return warning(CHECK, "plain HTTP is answered, not redirected", "Redirect port 80 to HTTPS.")
