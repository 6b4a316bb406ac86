"""Error responses: RFC 9457 `application/problem+json`, or a page for a browser."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from app.chat import errors
from app.chat.ports import Logger
from app.web.api.schemas import ProblemDetails
from app.web.app_keys import OWNER
from app.web.http.accept import PROBLEM, wants_html
from app.web.http.addresses import came_from
from app.web.http.forwarded import client
from app.web.i18n import translations
from app.web.i18n.error_texts import NEAREST, PHRASES, said
from app.web.i18n.translations import Language
from app.web.page.templates import render

RETRY_AFTER = "2"  # seconds
CODE = web.ResponseKey("problem_code", str)  # of a response that is a problem
CODE_HEADER = "Tailrace-Code"  # the same in a response to another node, which keeps it for its own log

# The only mapping of domain errors to statuses. A class includes its subclasses.
STATUSES: dict[type[errors.TailraceError], int] = {
    errors.SessionBusy: 409,
    errors.QueueFull: 429,
    errors.TooManyStreams: 429,
    errors.TooManyWaiting: 429,
    errors.StorageFull: 507,
    errors.Limited: 429,
    errors.Draining: 503,
    errors.NoModels: 503,
    errors.SearchBusy: 429,
    errors.LongChatsBusy: 429,
    errors.SearchTimeout: 503,
    errors.DiskFull: 507,
    errors.HistoryUnavailable: 503,
    errors.SessionExists: 409,
    errors.SessionNotFound: 404,
    errors.NothingToRestore: 404,
    errors.StreamNotFound: 404,
    errors.MessageNotFound: 404,
    errors.ImageNotFound: 404,
    errors.AnswerMoved: 409,
    errors.KeyReused: 422,
    errors.NotAnAnswer: 422,
    errors.ModelWithoutVision: 422,
    errors.CannotContinue: 422,
    errors.UnknownModel: 422,
    errors.UpstreamError: 502,
}

# Codes and details for requests that aiohttp itself rejects.
HTTP_PROBLEMS: dict[int, tuple[str, str]] = {
    404: ("not_found", "Page not found. Check the address."),
    405: ("method_not_allowed", "This address doesn't support that method. See the `Allow` header."),
    415: ("unsupported_media_type", "Send `application/json`."),
}


class ProblemError(Exception):
    """Raised when the web layer rejects a request. `extra` is added to the problem object as members."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.extra = extra


class RequestTooLarge(ProblemError):
    """Raised for a body of more than `most` bytes."""

    def __init__(self, most: int) -> None:
        limit = f"{most / 2**20:.1f} MiB" if most >= 2**17 else f"{most / 2**10:.1f} KiB"
        super().__init__(
            413,
            "request_too_large",
            f"The request is larger than {limit}. Send fewer or smaller images, or a shorter message.",
        )


def problem_of(error: ProblemError | errors.TailraceError) -> ProblemError:
    """Return an error of a handler as a problem; 500 for a domain error that has no status.

    Call it where the result is passed on. A variable of the frame that caught the error would keep the error, its
    traceback and so the request's body until the next collection of garbage.
    """
    if isinstance(error, ProblemError):
        return error
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
    headers = {"Retry-After": RETRY_AFTER} if status in (429, 503, 507) else {}
    if isinstance(error, errors.Limited):
        headers = {"Retry-After": str(error.retry_after)}
    extra = {"models": error.known} if isinstance(error, errors.UnknownModel) else {}
    return ProblemError(status, error.code, str(error), headers=headers, **extra)


def code_and_status(error: ProblemError | errors.TailraceError) -> tuple[str, int]:
    """Return the code and the status of an error of a handler."""
    problem = problem_of(error)
    return problem.code, problem.status


def told(language: Language, problem: ProblemError) -> str:
    """Return the detail of a problem in a language. For an unknown model, similar names are appended."""
    sentence = said(language, problem.code, problem.detail)
    near: list[str] = problem.extra.get("models", [])
    if sentence == problem.detail or not near:
        return sentence
    return f"{sentence} {language.sentences.gettext(NEAREST) % {'names': ', '.join(near)}}"


def respond(request: web.Request, problem: ProblemError) -> web.Response:
    """Return a problem as a response: a page for browser navigation, else problem+json.

    The response keeps the code under `CODE`.
    """
    response = _response(request, problem)
    response[CODE] = problem.code
    return response


def _response(request: web.Request, problem: ProblemError) -> web.Response:
    title = HTTPStatus(problem.status).phrase
    language = translations.of(request)
    detail = told(language, problem)
    headers = {"Cache-Control": "no-store", **problem.headers}
    if wants_html(request):
        phrase = language.sentences.gettext(PHRASES.get(problem.status, title))
        context = {"status": problem.status, "title": phrase, "detail": detail, "back": came_from(request)}
        response = render(request, "problem.html", context, status=problem.status)
        response.headers.update(headers)
        return response
    body = ProblemDetails(title=title, status=problem.status, code=problem.code, detail=detail)
    data = msgspec.json.encode({**msgspec.structs.asdict(body), **problem.extra})
    return web.Response(status=problem.status, body=data, content_type=PROBLEM, headers=headers)


def middleware(logger: Logger) -> Middleware:
    """Return the outermost middleware: it turns every error into a problem and never shows a traceback."""

    @web.middleware
    async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (ProblemError, errors.TailraceError) as error:
            return respond(request, problem_of(error))
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return respond(request, http_problem(error))
        except ConnectionError:
            # The client has disconnected and gets no response. If raised, it would be logged as a server error.
            return web.Response(status=400)
        except Exception as error:
            logger.error(
                "request_failed",
                owner=request.get(OWNER),
                address=client(request),
                method=request.method,
                path=request.path,
                exc_info=error,
            )
            return respond(
                request, ProblemError(500, "internal", "Something went wrong on the server. Try again.")
            )

    return problems


def http_problem(error: web.HTTPException) -> ProblemError:
    """Return an HTTP error of aiohttp as a problem."""
    code, detail = HTTP_PROBLEMS.get(error.status, ("bad_request", error.reason))
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return ProblemError(error.status, code, detail, headers=headers)
