"""Turns what goes wrong between us and a model server into errors whose message a user understands."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from app.streams.errors import (
    ContextExceeded,
    ModelMissing,
    UpstreamError,
    UpstreamGarbled,
    UpstreamRejected,
    UpstreamTruncated,
    UpstreamUnauthorized,
    UpstreamUnreachable,
)

MAX_MESSAGE = 300  # characters of a model server's own words that we pass on
_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_CONTEXT_WORDS = ("context length", "context size", "context window")


class Voice:
    """Words the errors of one model server: how it is called, and which secret must never be repeated."""

    def __init__(self, label: str, *, secrets: Sequence[str] = (), remedy: str = "Is it running?") -> None:
        self.label = label
        self._remedy = remedy
        self._secrets = sorted(secrets, key=len, reverse=True)  # one may be a part of another

    def __repr__(self) -> str:
        return f"<Voice {self.label!r}>"

    def unreachable(self) -> UpstreamUnreachable:
        """No connection, or none that lived until an answer began."""
        return UpstreamUnreachable(f"{self.label} isn't responding. {self._remedy}")

    def truncated(self) -> UpstreamTruncated:
        """The connection ended in the middle of an answer."""
        return UpstreamTruncated(f"{self.label} stopped before the answer was complete. Try again.")

    def garbled(self) -> UpstreamGarbled:
        """What arrived is not the protocol that we asked for."""
        return UpstreamGarbled(f"{self.label} sent an unreadable reply. Check its URL.")

    def before_answer(self, error: Exception) -> UpstreamError:
        """Translate what aiohttp raises until the response's headers are there."""
        if isinstance(error, aiohttp.ClientResponseError):
            return self.garbled()
        return self.unreachable()

    def rejected(self, status: int, body: bytes) -> UpstreamError:
        """Translate an answer other than 200. `body` is at most its first few kilobytes."""
        message, code = read_error(body)
        if status in (401, 403):
            return UpstreamUnauthorized(f"{self.label} rejected the API key ({status}). Check the key.")
        if 300 <= status < 400:
            return UpstreamRejected(f"{self.label} redirects to another address ({status}). Check its URL.")
        if status == 404 and "model" not in message.lower():
            return UpstreamRejected(f"{self.label} has nothing at that address (404). Check its URL.")
        kind = ModelMissing if status == 404 else _kind_of(message, code)
        return kind(self._sentence(f"returned an error ({status})", message))

    def in_band(self, error: Any) -> UpstreamError:
        """Translate an error that came in the middle of an answer, after a 200."""
        message, code = describe(error)
        return _kind_of(message, code)(self._sentence("returned an error", message))

    def _sentence(self, what: str, message: str) -> str:
        for secret in self._secrets:
            message = message.replace(secret, "…")
        message = plain(message)
        return f"{self.label} {what}: {message}" if message else f"{self.label} {what}."


def _kind_of(message: str, code: str) -> type[UpstreamRejected]:
    words = message.lower()
    if code in _CONTEXT_CODES or any(phrase in words for phrase in _CONTEXT_WORDS):
        return ContextExceeded
    return UpstreamRejected


def read_error(body: bytes) -> tuple[str, str]:
    """Return message and code of an error body in whichever usual form it has; text stays as it is."""
    try:
        return describe(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = body.decode("utf-8", "replace")
        return ("" if text.lstrip().startswith("<") else text), ""  # a page of HTML helps nobody


def describe(error: Any) -> tuple[str, str]:
    """Return message and code of a decoded error: a string, or an object, perhaps inside `error`."""
    if not isinstance(error, dict):
        return (error if isinstance(error, str) else ""), ""
    if "error" in error and not isinstance(error["error"], dict):
        return describe(error["error"])
    inner: dict[str, Any] = error.get("error", error)
    message = next((inner[key] for key in ("message", "detail") if isinstance(inner.get(key), str)), "")
    codes = [inner[key] for key in ("code", "type") if isinstance(inner.get(key), str)]
    return message, next((code for code in codes if code in _CONTEXT_CODES), codes[0] if codes else "")


def plain(text: str) -> str:
    """Return `text` in one line without control characters, at most `MAX_MESSAGE` characters long."""
    clean = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in text[: 4 * MAX_MESSAGE])
    line = " ".join(clean.split())
    return line if len(line) <= MAX_MESSAGE else f"{line[: MAX_MESSAGE - 1]}…"
