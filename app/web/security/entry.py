"""The middleware that lets requests in: it sets the owner of each, and keeps what is for admins from everybody else."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from app.web.app_keys import BASE, GRANT, OWNER
from app.web.grants import AccessOver
from app.web.problems import ProblemError
from app.web.security.gates import Gate

FOR_ADMINS = ("/metrics", "/ops")  # and everything below them


def middleware(gate: Gate, open_to_all: Collection[Handler]) -> Middleware:
    """Return the middleware that rejects requests without access, and sets the owner of the others.

    Handlers in `open_to_all` are not checked and get no owner. To who is no admin, the addresses `FOR_ADMINS` do not
    exist.
    """

    @web.middleware
    async def check_access(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.handler in open_to_all:
            return await handler(request)
        # The node that passed a request on has let it in already.
        grant = request.get(GRANT) or gate.grant(request) or await gate.look_again(request)
        if not grant.is_admin and _is_for_admins(request):
            raise web.HTTPNotFound
        request[GRANT], request[OWNER] = grant, grant.owner
        try:
            return await handler(request)
        except AccessOver as error:
            raise ProblemError(
                401,
                "not_signed_in",
                "You are signed out. Sign in, then try again.",
                headers={"WWW-Authenticate": "Bearer" if gate.signs_in else "Site"},
            ) from error

    return check_access


def _is_for_admins(request: web.Request) -> bool:
    base, path = request.app[BASE], request.path
    local = path.removeprefix(base) if path.startswith(f"{base}/") else path
    return any(local == each or local.startswith(f"{each}/") for each in FOR_ADMINS)
