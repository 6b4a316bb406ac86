"""Extracts message and code from the many forms of error bodies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from app.backends.json_values import decode, member, number_text

CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
FINE: tuple[Any, ...] = (None, False, "", 0, "0", 200, "200", "ok", "success", [], {})  # they mean "no error"
MAX_DEPTH = 8
MAX_PARTS = 8  # of a list of errors
MAX_WORDS = 64  # messages in an error, equal ones included
MAX_NAME = 64  # characters of a member's name
MAX_TEXT = 16 * 1024  # characters of a message, or of a code, that are looked at
MAX_MEMBERS = 64  # of an object that are looked at
# Members that hold messages, the most informative first, in lower case. Their values may be objects or lists again.
_WORDS = (
    "error", "err", "errors", "message", "detail", "details", "msg", "description", "error_description",
    "error_message", "errormessage", "error_msg", "status_msg", "reason", "cause", "text", "faultstring", "fault",
    "exception", "base_resp", "title",
)  # fmt: skip
_CODES = ("code", "type", "status", "error_code", "errorCode", "status_code")
# They say nothing to a person, even where nothing else is said.
_UNTELLING = frozenset(
    ("code", "type", "status", "error_code", "errorcode", "status_code", "__type", "object", "id", "request_id",
     "requestid", "trace_id", "timestamp", "time", "path", "instance", "param", "loc", "url", "model", "created",
     "version", "success", "ok")
)  # fmt: skip
# These mark an object as an error if it is no part of an answer. Otherwise they may mean anything.
_TELLING = ("errors", "error_message", "errorMessage", "error_msg", "fault")
_VAGUE = ("detail", "message", "msg")  # errors, but for notes such as `{"status": "loading", "message": "…"}`
# Elements of an XML document that hold messages.
_ELEMENTS = ("message", "faultstring", "detail", "description", "reason", "error")


class ErrorDetails(NamedTuple):
    """The server's own message and its machine-readable error code; either may be empty."""

    message: str
    code: str


def error_in(value: Any, *, answers: bool) -> ErrorDetails | None:
    """Return the error in an object received where a piece of an answer was expected, `None` if there is none.

    `answers` says that the object also contains a piece of an answer.
    """
    if not isinstance(value, dict):
        return None
    if not _fine(value.get("error")):
        return describe(value)
    return describe(value) if not answers and _is_error(value) else None


def note_in(value: Any) -> ErrorDetails | None:
    """Return the words of an object that is no part of an answer: an error if no answer comes, else a mere note."""
    if not isinstance(value, dict) or (
        "code" in value and value["code"] in FINE
    ):  # `{"code": 0, "msg": "ok"}`
        return None
    if any(isinstance(value.get(key), str | list | dict) and not _fine(value[key]) for key in _VAGUE):
        return describe(value)
    return None


def describe(value: Any) -> ErrorDetails:
    """Return message and code of an error: a string, an object or a list, with any nesting."""
    parts = _first(_words(value, 0)) or _first(_other_words(value, 0))
    codes = [code for code in _codes(value, 0) if code]
    return ErrorDetails(
        "; ".join(parts), next((code for code in codes if code in CONTEXT_CODES), "".join(codes[:1]))
    )


def read_error_body(body: bytes) -> ErrorDetails:
    """Return the details from an error body: JSON in any form, the title of an HTML page, or plain text."""
    try:
        return describe(decode(body))
    except ValueError:
        text = body.decode("utf-8", "replace").strip()
        return ErrorDetails((title_of(text) or words_of(text)) if text.startswith("<") else text, "")


def title_of(page: str) -> str:
    """Return the title of an HTML page, or its first `h1`: its only useful parts. Empty if there is none."""
    return _element(page, ("title", "h1"))


def words_of(document: str) -> str:
    """Return the message of an error in XML. Empty if there is none, or if this is a web page."""
    return "" if "<html" in document.lower() else _element(document, _ELEMENTS)


def _element(page: str, tags: tuple[str, ...]) -> str:
    """Return the text of the first of these elements that has nothing but text."""
    for tag in tags:
        start = _find(f"<{tag}", page, 0)
        begin = page.find(">", start) + 1 if start >= 0 else 0
        end = _find(f"</{tag}", page, begin) if begin else -1
        if end > begin and (title := page[begin:end].strip()) and "<" not in title:
            return title
    return ""


def _find(tag: str, page: str, begin: int) -> int:
    """Return the place of a tag in any case, -1 without one. Some letters are longer in lower case, so not in that."""
    found = re.compile(re.escape(tag), re.ASCII | re.IGNORECASE).search(page, begin)
    return found.start() if found else -1


def _fine(value: Any, depth: int = 0) -> bool:
    """Return whether the value of an `error` member means "no error"."""
    if isinstance(value, dict) and value:
        if depth > MAX_DEPTH or len(value) > MAX_MEMBERS:
            return False
        if value.keys().isdisjoint(("code", "message")):
            return all(_fine(each, depth + 1) for each in value.values())
        return all(_fine(value.get(key), depth + 1) for key in (*_WORDS, "code"))
    return (value.lower() if isinstance(value, str) else value) in FINE


def _is_error(value: dict[str, Any]) -> bool:
    if value.get("object") == "error" or value.get("type") == "error":
        return True
    if not _fine(member(value.get("base_resp"), "status_code")) or not _fine(value.get("error_code")):
        return True
    if "code" in value and value["code"] in FINE:  # `{"code": 0, "msg": "ok"}`
        return False
    if any(isinstance(value.get(key), str | list | dict) and not _fine(value[key]) for key in _TELLING):
        return True
    return any(
        isinstance(status := value.get(key), int) and 400 <= status < 600 for key in ("code", "status")
    )


def _words(value: Any, depth: int) -> Iterator[str]:
    """Yield the messages in an error, depth first."""
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
    """Yield a string, or the messages in it if it is JSON again, as when gateways forward an error body."""
    if len(value) <= MAX_TEXT and value.lstrip().startswith(("{", "[")):
        try:
            inner = list(_words(decode(value.encode("utf-8", "surrogatepass")), depth + 1))
        except ValueError:
            inner = []
        if inner:
            yield from inner
            return
    if text := value[:MAX_TEXT].strip():
        yield text


def _said(value: dict[str, Any], depth: int) -> Iterator[str]:
    members = {str(key).lower(): each for key, each in islice(value.items(), MAX_MEMBERS)}
    found = next((words for key in _WORDS if (words := list(_words(members.get(key), depth + 1)))), [])
    if found and (place := _place(value.get("loc"))):  # FastAPI's validation errors
        found = [f"{place}: {words}" for words in found]
    title, detail = value.get("title"), value.get("detail")  # RFC 9457
    if isinstance(title, str) and isinstance(detail, str) and title.strip() and found == [detail.strip()]:
        found = [f"{title.strip()}: {detail.strip()}"]
    yield from found
    yield from _words(member(value.get("metadata"), "raw"), depth + 1)  # of a gateway's own upstream


def _other_words(value: Any, depth: int) -> Iterator[str]:
    """Yield all texts in an error whose members have other names, each with the name: `model: is invalid`."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value[:MAX_PARTS]:
            yield from _other_words(item, depth + 1)
    elif isinstance(value, dict):
        for name, each in islice(value.items(), MAX_MEMBERS):
            if isinstance(each, str) and str(name).lower() in _UNTELLING:
                continue
            found = _words(each, depth + 1) if isinstance(each, str | list) else _other_words(each, depth + 1)
            known = str(name).lower() in _WORDS or isinstance(each, dict)
            yield from (words if known else f"{str(name)[:MAX_NAME]}: {words}" for words in found)


def _first(words: Iterator[str]) -> list[str]:
    """Return the first `MAX_PARTS` different ones."""
    return list(islice(dict.fromkeys(islice(words, MAX_WORDS)), MAX_PARTS))


def _place(loc: Any) -> str:
    steps = loc[:MAX_PARTS] if isinstance(loc, list) else ()
    return ".".join(_code(step) for step in steps if isinstance(step, str | int))


def _codes(value: Any, depth: int) -> Iterator[str]:
    """Yield the codes of an error, innermost first: outer ones only repeat the status."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value[:MAX_PARTS]:
            yield from _codes(item, depth + 1)
    elif isinstance(value, dict):
        for key in ("error", "errors", "message", "detail", "base_resp"):
            yield from _codes(value.get(key), depth + 1)
        yield from (
            _code(value[key]) for key in _CODES if isinstance(value.get(key), str | int) and value[key]
        )


def _code(value: str | int) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else number_text(value)
