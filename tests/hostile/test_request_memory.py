"""No request takes more than twenty times its size, and many of them in turn no more than one owner may."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from urllib.parse import quote_from_bytes

import pytest

from tests.functional.processes import Process
from tests.hostile.attacks import BEARER, JSON, LARGE, MULTIPART, STREAMS, URLENCODED, send, with_length
from tests.support import hostile
from tests.support.hostile import MIB

MOST_TIMES = 20  # bytes of memory per byte of a request
MOST_OF_A_USER = 128 * MIB
WITH_ROOM = 600_000  # bytes: the texts of a form may be as long as that
BROWSER = "Accept: text/html"
EMOJI = "\N{GRINNING FACE}".encode()  # it makes each character of its string take four bytes
FILLINGS = {"quotes": b'"', "tags": b"<", "lines": b"a\n", "letters": b"a", "emoji": EMOJI}
COMPOSER = (
    "prompt",
    "system",
    "stop",
    "model",
    "find_model",
    "temperature",
    "regenerate",
    "parent_id",
    "other",
)
FORMS = {
    STREAMS: COMPOSER,
    "/sessions/s1/refresh": COMPOSER,
    "/sessions/s1/rename": ("title",),
    "/sessions/s1/stop": ("other",),
    "/preferences": ("next",),
    "/api/sessions/import": ("file",),
}


def _filled(filling: bytes, size: int) -> bytes:
    return EMOJI + filling * (size // len(filling))


def _part(field: str, text: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n--b--\r\n' % (field.encode(), text)


def _forms(path: str, size: int) -> Iterator[bytes]:
    """Yield requests with one long field, of each field and filling."""
    for field in FORMS[path]:
        for filling in FILLINGS.values():
            text = _filled(filling, size)
            for headers, body in (
                ((URLENCODED,), field.encode() + b"=" + text.replace(b"&", b"%26")),
                ((MULTIPART,), _part(field, text)),
            ):
                yield with_length("POST", path, *headers, BEARER, BROWSER, body=body)
        body = f"{field}={quote_from_bytes(_filled(b'<', size))}".encode()
        yield with_length("POST", path, URLENCODED, BEARER, BROWSER, body=body)


def _json(size: int) -> Iterator[bytes]:
    """Yield bodies that are refused late, or quoted."""
    for filling in (rb"\"", b"<", rb"\n", EMOJI):
        text = _filled(filling, size)
        yield b'{"%b":1}' % text
        yield b'{"prompt":"a","options":{"%b":1}}' % text
        for name in ("prompt", "model", "regenerate", "if_active", "parent_id"):
            yield b'{"%b":"%b"}' % (name.encode(), text)
        yield b'{"prompt":"a","options":{"system":"%b"}}' % text
        yield b'{"prompt":"a","options":{"stop":["%b"]}}' % text
        yield b'{"title":"%b"}' % text
    for element in (b"{}", b'""', b'"ab"', b"1", b"[]", b'{"image_id":"a"}'):
        elements = b",".join([element] * min(size // (len(element) + 1), 390_000))
        yield b'{"prompt":"a","images":[%b]}' % elements
        yield b'{"prompt":"a","images":[%b],"images":[]}' % elements
        yield b'{"prompt":"a","options":{"stop":[%b]}}' % elements
        yield b'{"prompt":"a","options":{"stop":[%b]},"options":{}}' % elements
        yield b'{"prompt":"a","other":[%b]}' % elements
    yield b"[" * size
    yield b"9" * size
    yield b'{"prompt":"a"' + b" " * size


def _memory(process: Process, request: bytes) -> int:
    """Return how many bytes more the process held at most while it answered."""
    before = hostile.resident(process.pid)
    hostile.forget_peak(process.pid)
    answer = send(process.url, request)
    # Told too early that it is too large, a client sees a broken connection: then there is no answer.
    assert hostile.status(answer) in {0, 200, 303, 400, 401, 404, 413, 415, 422}, answer[:200]
    return hostile.peak(process.pid) - before


@pytest.mark.parametrize("path", FORMS)
def test_a_form_takes_a_few_times_its_size(process: Process, path: str) -> None:
    """Whatever its fields hold, and whether it is shown again, refused or done."""
    for request in _forms(path, WITH_ROOM):
        memory = _memory(process, request)
        assert memory <= MOST_TIMES * len(request), (memory / len(request), request[:300])


@pytest.mark.parametrize("path", [STREAMS, "/sessions/s1/rename"])
def test_a_form_without_room_takes_hardly_more_than_its_size(process: Process, path: str) -> None:
    """Texts that are too long are not decoded."""
    field, text = FORMS[path][0], _filled(b"<", LARGE)
    for request in (
        with_length("POST", path, URLENCODED, BEARER, BROWSER, body=field.encode() + b"=" + text),
        with_length("POST", path, MULTIPART, BEARER, BROWSER, body=_part(field, text)),
    ):
        memory = _memory(process, request)
        assert memory <= 4 * len(request), (memory / len(request), request[:300])


@pytest.mark.parametrize(
    ("accept", "size"), [("text/html", WITH_ROOM), ("application/json", WITH_ROOM), ("text/html", LARGE)]
)
def test_json_takes_a_few_times_its_size(process: Process, accept: str, size: int) -> None:
    """Prompts and changes of a session, also those whose refusal quotes them."""
    for body in _json(size):
        for method, path in (("POST", STREAMS), ("PATCH", "/api/sessions/s1")):
            request = with_length(method, path, JSON, BEARER, f"Accept: {accept}", body=body)
            memory = _memory(process, request)
            assert memory <= MOST_TIMES * len(request), (memory / len(request), request[:300])


def _mixed() -> Iterator[bytes]:
    """Yield some requests of each kind, and images."""
    for path in FORMS:
        yield from islice(_forms(path, WITH_ROOM), 0, None, 3)
    for _ in range(10):
        image = _part('images"; filename="a', b"x" * LARGE)
        yield with_length("POST", STREAMS, MULTIPART, BEARER, BROWSER, body=image)
    for body in islice(_json(LARGE), 0, None, 4):
        yield with_length("POST", STREAMS, JSON, BEARER, BROWSER, body=body)


def test_requests_in_turn_leave_nothing(process: Process) -> None:
    """Each is small enough. What they leave to the garbage collector must not add up."""
    before = hostile.resident(process.pid)
    hostile.forget_peak(process.pid)
    for request in _mixed():
        send(process.url, request)
    assert hostile.peak(process.pid) - before <= MOST_OF_A_USER
