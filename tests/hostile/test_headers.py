"""Hostile headers: long paths and lists, many cookies. Before a request is let in each costs what any other does."""

from __future__ import annotations

import psutil
import pytest

from tests.functional.processes import Process
from tests.hostile.attacks import send
from tests.support import hostile
from tests.support.hostile import request

COUNT = 40  # requests that are measured together
MOST = 4  # times what a plain request costs
TRIES = 3  # the machine may be busy
VALUE = "A" * 45  # of a cookie as long as a signed one


def measured(process: Process, path: str, *headers: str) -> float:
    """Return the processor time of `COUNT` requests, each on a connection of its own, in seconds."""
    server = psutil.Process(process.pid)
    data = request("GET", path, *headers, "Connection: close")
    before = server.cpu_times()
    for _ in range(COUNT):
        send(process.url, data)
    after = server.cpu_times()
    return after.user - before.user + after.system - before.system


def status(process: Process, path: str, *headers: str) -> int:
    """Return the status of one request."""
    return hostile.status(send(process.url, request("GET", path, *headers, "Connection: close")))


REFUSED = {
    "slashes": ("/" + "/" * 64, [], 414),
    "parts": ("/a" * 4000, [], 414),
    "accept": ("/login", ["Accept: " + "text/html;q=0.1," * 64], 431),
    "accept-lines": ("/login", ["Accept: text/html"] * 65, 431),
    "accept-parameters": ("/login", ["Accept: a/b" + ";a=b" * 1900], 431),
    "accept-language": ("/login", ["Accept-Language: " + "zz," * 2600], 431),
    "accept-encoding": ("/static/main.js", ["Accept-Encoding: " + "gzip," * 64], 431),
    "if-none-match": ("/static/main.js", ["If-None-Match: " + '"a",' * 2000], 431),
    "if-match": ("/static/main.js", ["If-Match: " + '"a",' * 2000], 431),
    "range": ("/static/main.js", ["Range: bytes=" + "0-1," * 2000], 431),
    "x-forwarded-for": ("/login", ["X-Forwarded-For: " + "127.0.0.1," * 800], 431),
    "forwarded": ("/login", ["Forwarded: " + "for=127.0.0.1," * 500], 431),
    "cookies": ("/api/sessions", ["Cookie: " + "a=b;" * 2000], 431),
    "access-cookies": ("/api/sessions", ["Cookie: " + f"tailrace_access={VALUE};" * 60 + "a=b;" * 200], 431),
}
ALLOWED = {
    "slashes": ("/a" * 63 + "/?next=" + "/a" * 1000, [], 401),
    "accept": ("/login", ["Accept: " + ",".join(["text/html;level=1;q=0.1"] * 64)], 200),
    "accept-language": ("/login", ["Accept: text/html", "Accept-Language: " + ",".join(["zz"] * 64)], 200),
    "if-none-match": ("/static/main.js", ["If-None-Match: " + ",".join(['"a"'] * 64)], 200),
    "x-forwarded-for": ("/login", ["X-Forwarded-For: " + ",".join(["127.0.0.1"] * 64)], 200),
    "cookies": ("/api/sessions", ["Cookie: " + "; ".join(["a=b"] * 200)], 401),
    "access-cookies": ("/api/sessions", ["Cookie: " + "; ".join([f"tailrace_access={VALUE}"] * 100)], 401),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_too_much_work_is_refused(process: Process, kind: str) -> None:
    """With the status that says which part of the request it was."""
    path, headers, expected = REFUSED[kind]
    assert status(process, path, *headers) == expected


@pytest.mark.parametrize("kind", ALLOWED)
def test_what_is_just_allowed_is_answered(process: Process, kind: str) -> None:
    """A query may have any number of slashes, and a list as many members as the limit."""
    path, headers, expected = ALLOWED[kind]
    assert status(process, path, *headers) == expected


@pytest.mark.parametrize(
    "kind", [*(("refused", kind) for kind in REFUSED), *(("allowed", kind) for kind in ALLOWED)]
)
def test_headers_cost_little(process: Process, kind: tuple[str, str]) -> None:
    """No more than a few times what the same request costs without them."""
    path, headers, _ = (REFUSED if kind[0] == "refused" else ALLOWED)[kind[1]]
    plain = "/nowhere" if path not in ("/login", "/static/main.js") else path
    ratios = []
    for _ in range(TRIES):
        ratios.append(measured(process, path, *headers) / max(measured(process, plain), 0.01))
        if ratios[-1] <= MOST:
            return
    raise AssertionError(ratios)
