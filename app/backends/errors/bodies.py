"""What a model server complains of, in whichever of the many forms that errors have in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from app.backends.json_values import decode, member

CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
FINE: tuple[Any, ...] = (
    None,
    False,
    "",
    0,
    "0",
    200,
    "200",
    "ok",
    "success",
    [],
    {},
)  # what is written where nothing went wrong
MAX_DEPTH = 8
MAX_PARTS = 8  # of a list of complaints
# Where the words are, the most telling first. What they hold may be an object or a list in its turn.
_WORDS = (
    "error", "errors", "message", "detail", "msg", "description", "error_description", "error_message", "errorMessage",
    "error_msg", "status_msg", "reason", "faultstring", "fault", "exception", "base_resp", "title",
)  # fmt: skip
_CODES = ("code", "type", "status", "error_code", "errorCode", "status_code")
# Without any choices, these make an object an error. Elsewhere they may mean anything.
_TELLING = ("errors", "detail", "message", "msg", "error_message", "errorMessage", "error_msg", "fault")


class ErrorDetails(NamedTuple):
    """What went wrong, in the server's own words, and the code that programs tell it by; either may be empty."""

    message: str
    code: str


def error_in(value: Any, *, answers: bool) -> ErrorDetails | None:
    """Return the complaint in an object that came in the place of a piece of an answer, `None` where there is none.

    `answers` says that the object holds a piece of an answer as well.
    """
    if not isinstance(value, dict):
        return None
    if not _fine(value.get("error")):
        return describe(value)
    if answers:
        return None
    return describe(value) if _is_error(value) else None


def describe(value: Any) -> ErrorDetails:
    """Return message and code of an error: a text, an object or a list, nested in whichever way."""
    parts: list[str] = []
    for part in _words(value, 0):
        if part not in parts:
            parts.append(part)
        if len(parts) == MAX_PARTS:
            break
    codes = [code for code in _codes(value, 0) if code]
    return ErrorDetails(
        "; ".join(parts), next((code for code in codes if code in CONTEXT_CODES), "".join(codes[:1]))
    )


def read_error_body(body: bytes) -> ErrorDetails:
    """Return what an error's body says: JSON in any form, the title of a page, or text as it is."""
    try:
        return describe(decode(body))
    except ValueError:
        text = body.decode("utf-8", "replace").strip()
        return ErrorDetails(title_of(text) if text.startswith("<") else text, "")


def title_of(page: str) -> str:
    """Return the title of a page of HTML, or its first heading: all of it that may help somebody."""
    lower = page.lower()
    for tag in ("title", "h1"):
        start = lower.find(f"<{tag}")
        begin = lower.find(">", start) + 1 if start >= 0 else 0
        end = lower.find(f"</{tag}", begin) if begin else -1
        if end > begin and (title := page[begin:end].strip()) and "<" not in title:
            return title
    return ""


def _fine(value: Any) -> bool:
    """Tell whether the `error` of an object says that there is none."""
    if isinstance(value, dict) and value:
        return all(_fine(value.get(key)) for key in (*_WORDS, "code")) and not value.keys().isdisjoint(
            ("code", "message")
        )
    return value in FINE


def _is_error(value: dict[str, Any]) -> bool:
    if value.get("object") == "error" or value.get("type") == "error":
        return True
    if not _fine(member(value.get("base_resp"), "status_code")) or not _fine(value.get("error_code")):
        return True
    if "code" in value and value["code"] in FINE:  # `{"code": 0, "msg": "ok"}`
        return False
    if any(isinstance(value.get(key), str | list | dict) and value[key] for key in _TELLING):
        return True
    status = value.get("status")
    return isinstance(status, int) and status >= 400 and bool(value.get("title"))


def _words(value: Any, depth: int) -> Iterator[str]:
    """Yield the words of an error, those of one level beside each other."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, str):
        yield from _text(value, depth)
    elif isinstance(value, list):
        for item in value[:MAX_PARTS]:
            yield from _words(item, depth + 1)
    elif isinstance(value, dict):
        yield from _said(value, depth)


def _text(value: str, depth: int) -> Iterator[str]:
    """Yield a text, or what it says where it is JSON once more, as gateways pass on what they got."""
    if value.lstrip().startswith(("{", "[")):
        try:
            inner = list(_words(decode(value.encode("utf-8", "surrogatepass")), depth + 1))
        except ValueError:
            inner = []
        if inner:
            yield from inner
            return
    if value.strip():
        yield value.strip()


def _said(value: dict[str, Any], depth: int) -> Iterator[str]:
    found = next((words for key in _WORDS if (words := list(_words(value.get(key), depth + 1)))), [])
    if found and (place := _place(value.get("loc"))):  # FastAPI's validation errors
        found = [f"{place}: {words}" for words in found]
    title, detail = value.get("title"), value.get("detail")  # RFC 9457
    if isinstance(title, str) and isinstance(detail, str) and title.strip() and found == [detail.strip()]:
        found = [f"{title.strip()}: {detail.strip()}"]
    yield from found
    yield from _words(
        member(value.get("metadata"), "raw"), depth + 1
    )  # what a gateway got from its own upstream


def _place(loc: Any) -> str:
    return (
        ".".join(str(step) for step in loc[:MAX_PARTS] if isinstance(step, str | int))
        if isinstance(loc, list)
        else ""
    )


def _codes(value: Any, depth: int) -> Iterator[str]:
    """Yield the codes of an error, the innermost first: the outer ones only repeat the status."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value[:MAX_PARTS]:
            yield from _codes(item, depth + 1)
    elif isinstance(value, dict):
        for key in ("error", "errors", "message", "detail", "base_resp"):
            yield from _codes(value.get(key), depth + 1)
        yield from (str(value[key]) for key in _CODES if isinstance(value.get(key), str | int) and value[key])
