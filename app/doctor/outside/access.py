"""Who is let in: strangers, and strangers who claim to be somebody."""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.config.settings import is_loopback
from app.doctor.findings import Finding, note, ok, problem
from app.doctor.outside.visitor import Visitor

CHECK = "access"
PATH = "api/sessions?limit=1"
REFUSED = (401, 403)


async def check(visitor: Visitor, user_header: str) -> AsyncIterator[Finding]:
    """Ask for the list of chats as a stranger. Raises `Unreachable`."""
    stranger = await visitor.ask("GET", PATH, as_stranger=True)
    if stranger.status in REFUSED or 300 <= stranger.status < 400:
        claiming = await visitor.ask("GET", PATH, as_stranger=True, headers={user_header: "tailrace-doctor"})
        if claiming.status == 200:
            yield problem(
                CHECK,
                f"whoever sends {user_header} is let in as anybody: the proxy passes the header on",
                f'Let the proxy replace it: nginx `proxy_set_header {user_header} $remote_user;`, or `"";`.',
            )
            return
        yield ok(CHECK, "strangers are not let in")
    elif stranger.status == 200 and is_loopback(visitor.url.host or ""):
        yield note(CHECK, "nobody is asked for a token, which is as it should be on this machine alone")
    elif stranger.status == 200:
        yield problem(
            CHECK,
            "nobody is asked for a token: whoever reaches this address can read and change all chats",
            "Set TAILRACE_AUTH=tokens or TAILRACE_ACCESS_TOKEN on the server (docs/operations.md, “Who may connect”).",
        )


async def check_token(visitor: Visitor) -> AsyncIterator[Finding]:
    """Check that the token is accepted. Raises `Unreachable`."""
    if visitor.token is None:
        return
    answer = await visitor.ask("GET", PATH)
    if answer.status == 200:
        yield ok(CHECK, "the token is accepted")
    elif answer.status in REFUSED:
        yield problem(
            CHECK, "the token is rejected", "Use a valid one, and let the proxy pass on `Authorization`."
        )
