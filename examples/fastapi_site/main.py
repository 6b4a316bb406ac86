"""A FastAPI site with Jinja templates, with Tailrace behind it at /chat/, as a process of its own.

Tailrace is no ASGI application, so the site passes requests on and says who asks: browsers know one origin and one
sign-in, and nobody reaches the chat past it. The site needs no package of Tailrace.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from fastapi.templating import Jinja2Templates

PEOPLE = dict(
    pair.split(":", 1) for pair in os.environ["SITE_PEOPLE"].split(",")
)  # a real site stores hashes
TAILRACE = os.environ.get("TAILRACE_URL", "http://127.0.0.1:8080")
# Event streams are silent for 15 seconds at most, and stay open for as long as a page does.
TIMEOUT = httpx.Timeout(10, read=60)
LIMITS = httpx.Limits(max_connections=1000)
PLAIN = {"Accept-Encoding": "identity"}  # where the browser does not say
OURS = {
    "authorization",
    "connection",
    "date",
    "forwarded",
    "keep-alive",
    "server",
    "te",
    "transfer-encoding",
    "upgrade",
}  # headers that are not passed on
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold the connections to Tailrace."""
    async with httpx.AsyncClient(base_url=TAILRACE, headers=PLAIN, timeout=TIMEOUT, limits=LIMITS) as http:
        app.state.tailrace = http
        yield


site = FastAPI(lifespan=lifespan, openapi_url=None)
templates = Jinja2Templates(Path(__file__).parent / "templates")


def signed_in(given: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> str:
    """Return the name of the person. Your site's own sign-in takes the place of this."""
    expected = PEOPLE.get(given.username, "")
    if not secrets.compare_digest(given.password.encode(), expected.encode()) or not expected:
        raise HTTPException(401, "Wrong name or password", {"WWW-Authenticate": "Basic"})
    return given.username


User = Annotated[str, Depends(signed_in)]


def headers_of(request: Request, user: str) -> list[tuple[str, str]]:
    """Return the headers for Tailrace, `Host` among them. It believes what they say of the person: only we say it."""
    kept = [
        (name, value)
        for name, value in request.headers.items()
        if name not in OURS and not name.startswith("x-forwarded-")
    ]
    address = request.client.host if request.client else ""
    ours = {"X-Forwarded-User": user, "X-Forwarded-For": address, "X-Forwarded-Proto": request.url.scheme}
    return [*kept, *ours.items()]


async def passed_on(request: Request, user: User) -> AsyncIterator[httpx.Response]:
    """Send a request on, and hold the response open until it is sent, or the browser has left."""
    http: httpx.AsyncClient = request.app.state.tailrace
    url = httpx.URL(path=request.scope["raw_path"].decode(), query=request.scope["query_string"])
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    body = request.stream() if has_body else None
    asked = http.build_request(request.method, url, headers=headers_of(request, user), content=body)
    try:
        response = await http.send(asked, stream=True)
    except httpx.TransportError as error:
        raise HTTPException(502, "The chat does not answer. Try again in a minute.") from error
    try:
        yield response
    finally:
        await response.aclose()


@site.get("/")
async def home(request: Request, user: User) -> Response:
    """Show the person's last chats, which Tailrace's API tells."""
    http: httpx.AsyncClient = request.app.state.tailrace
    response = await http.get("/chat/api/sessions?limit=5", headers={"X-Forwarded-User": user})
    chats = response.raise_for_status().json()["sessions"]
    return templates.TemplateResponse(request, "home.html", {"user": user, "chats": chats})


@site.api_route("/chat/{path:path}", methods=METHODS)
async def chat(answer: Annotated[httpx.Response, Depends(passed_on)]) -> Response:
    """Pass on what Tailrace answers, as it comes."""
    response = StreamingResponse(answer.aiter_raw(), answer.status_code)
    response.raw_headers = [pair for pair in answer.headers.raw if pair[0].lower().decode() not in OURS]
    return response
