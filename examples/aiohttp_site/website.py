"""A site with Jinja templates, people who sign in, and the chat at /chat/, in one process.

SITE_PEOPLE=alice:wonderland,bob:builder python website.py
"""

import hmac
import os
import secrets
from pathlib import Path
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web

from app.embedding import signed_out, tailrace

PEOPLE = dict(
    pair.split(":", 1) for pair in os.environ["SITE_PEOPLE"].split(",")
)  # a real site stores hashes
MOST = 1000  # sessions; the oldest ends when there are more
SESSIONS = web.AppKey("sessions", dict[str, str])  # a cookie's value to the person's name
CHAT = web.AppKey("chat", web.Application)
COOKIE = "website"


def user(request: web.Request) -> str | None:
    """Tell who sends a request, to the chat and to our own pages. It is called for every request."""
    return site[SESSIONS].get(request.cookies.get(COOKIE, ""))


async def with_user(request: web.Request) -> dict[str, Any]:
    """Give each template the name of the person."""
    return {"user": user(request)}


@aiohttp_jinja2.template("home.html")
async def home(_: web.Request) -> dict[str, Any]:
    """GET /"""
    return {}


@aiohttp_jinja2.template("sign_in.html")
async def sign_in_page(_: web.Request) -> dict[str, Any]:
    """GET /sign-in. The chat leads browsers here, with `?next=`; the form posts to the same address."""
    return {}


async def sign_in(request: web.Request) -> web.StreamResponse:
    """POST /sign-in"""
    form = await request.post()
    name, password = str(form.get("name", "")), str(form.get("password", ""))
    expected = PEOPLE.get(name, "")
    if not hmac.compare_digest(password.encode(), expected.encode()) or not expected:
        return aiohttp_jinja2.render_template("sign_in.html", request, {"is_wrong": True}, status=403)
    sessions, cookie = request.app[SESSIONS], secrets.token_urlsafe()
    if len(sessions) >= MOST:
        del sessions[next(iter(sessions))]
    sessions[cookie] = name
    response = web.HTTPSeeOther(_own(request.query.get("next", "/")))
    response.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax", secure=request.secure)
    return response


async def sign_out(request: web.Request) -> web.StreamResponse:
    """POST /sign-out"""
    if name := request.app[SESSIONS].pop(request.cookies.get(COOKIE, ""), None):
        signed_out(request.app[CHAT], name)
    response = web.HTTPSeeOther("/")
    response.del_cookie(COOKIE)
    return response


def _own(address: str) -> str:
    """Return an address if it is a path of this site, which `//elsewhere` and `/\\elsewhere` are not."""
    return address if address.startswith("/") and address[1:2] not in ("/", "\\") else "/"


site = web.Application()
site[SESSIONS] = {}
site[CHAT] = tailrace(user=user, sign_in="/sign-in")
site.router.add_get("/", home)
site.router.add_get("/sign-in", sign_in_page)
site.router.add_post("/sign-in", sign_in)
site.router.add_post("/sign-out", sign_out)
site.add_subapp("/chat", site[CHAT])
aiohttp_jinja2.setup(
    site,
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    context_processors=[with_user],
    autoescape=True,
)

if __name__ == "__main__":
    web.run_app(site, host="127.0.0.1", port=int(os.environ.get("SITE_PORT", "8000")))
