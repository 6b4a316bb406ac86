"""Maps failures between Tailrace and a model server to errors with user-readable messages."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import aiohttp
from yarl import URL

from app.backends.errors.bodies import (
    CONTEXT_CODES,
    ErrorDetails,
    describe,
    error_in,
    note_in,
    read_error_body,
    title_of,
    words_of,
)
from app.backends.errors.masking import Secrets
from app.backends.errors.redaction import Redaction
from app.backends.errors.retry_after import retry_after, wait_from_headers
from app.backends.json_values import decode
from app.chat.errors import (
    ContextExceeded,
    ModelMissing,
    UpstreamBusy,
    UpstreamError,
    UpstreamGarbled,
    UpstreamRejected,
    UpstreamTruncated,
    UpstreamUnauthorized,
    UpstreamUnreachable,
)

MAX_MESSAGE = 300  # characters of a model server's message that are shown
MAX_PAGE = 8 * 1024  # bytes of a document that are searched for its title or message
MAX_REASON = 40  # characters of a finish reason
MAX_REDACTED = 16 * 1024  # characters of it that are searched for secrets; the rest is dropped
_REFUSALS = {401: ("rejected the API key", " Check the key."), 403: ("denied access", "")}
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_CONTEXT_WORDS = ("context length", "context size", "context window", "prompt is too long", "too many tokens")
_BUSY = ("429", "503", "529", "rate_limit_exceeded", "overloaded_error")  # 529: overloaded, at Anthropic
_UNAUTHORIZED = ("401", "403", "invalid_api_key", "authentication_error", "permission_error")
# Phrases of servers about an unknown path. A 404 with any other message is about the request.
_NO_ADDRESS = (
    "not found",
    "page",
    "endpoint or method",
    "unknown endpoint",
    "url",
    "route",
    "cannot post",
    "no static",
)


class ErrorMapper:
    """Creates the errors of one model server, and knows what of its words may be shown.

    `label` names it in messages. `secrets` are never quoted; `spoken` are those that are masked in answers, too.
    """

    def __init__(
        self,
        label: str,
        *,
        secrets: Iterable[str] = (),
        spoken: Iterable[str] = (),
        remedy: str = "Is it running?",
    ) -> None:
        self.label = label
        self.spoken = Secrets(spoken)
        self._remedy = remedy
        self._redaction = Redaction(secrets)

    def __repr__(self) -> str:
        return f"<ErrorMapper {self.label!r}>"

    def unreachable(self) -> UpstreamUnreachable:
        """No connection, or it was lost before an answer began."""
        return UpstreamUnreachable(f"{self.label} isn't responding. {self._remedy}")

    def truncated(self, words: str = "") -> UpstreamTruncated:
        """The connection ended within an answer. `words` is the server's last message, if any."""
        sentence = self._sentence("broke off before the answer was complete", words)
        return UpstreamTruncated(f"{sentence} Try again.")

    def garbled(self) -> UpstreamGarbled:
        """The response does not follow the requested protocol."""
        return UpstreamGarbled(f"{self.label} sent an unreadable reply. Check its URL.")

    def page(self, title: str) -> UpstreamGarbled:
        """The response is a web page, of a proxy or another server at that address."""
        sentence = self._sentence("sent a web page instead of an answer", title)
        return UpstreamGarbled(f"{sentence} Check its URL.")

    def too_long(self, limit: int) -> UpstreamGarbled:
        """A line or an event is longer than `limit` bytes."""
        return UpstreamGarbled(f"{self.label} sent a line of more than {limit:,} bytes. Check its URL.")

    def too_large(self, limit: int) -> UpstreamGarbled:
        """The response to a short request, such as for the model list, is longer than `limit` bytes."""
        return UpstreamGarbled(f"{self.label} sent more than {limit:,} bytes at once. Check its URL.")

    def flooded(self) -> UpstreamGarbled:
        """The server sends without end, but nothing that belongs to an answer."""
        return UpstreamGarbled(f"{self.label} sent too much that isn't part of an answer. Check its URL.")

    def before_answer(self, error: Exception) -> UpstreamError:
        """Map an error that aiohttp raised before the response headers arrived."""
        if isinstance(error, aiohttp.ClientResponseError | aiohttp.http.HttpProcessingError):
            return self.garbled()
        return self.unreachable()

    def rejected(self, status: int, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> UpstreamError:
        """Map a response with a status other than 200. `body` holds at most its first few kilobytes."""
        if 300 <= status < 400 and (target := headers.get("Location", "")):
            return UpstreamRejected(self._redirect(status, target))
        message, code = read_error_body(body)
        seconds = retry_after(headers)
        again = f" Try again in {wait_from_headers(seconds)}." if seconds is not None else ""
        kind = _kind_of(message, code, str(status))
        what, hint = _REFUSALS.get(status, ("returned an error", ""))
        if status == 404 and kind is UpstreamRejected and _no_address(message):
            what, hint = "has nothing at that address", " Check its URL."
        elif 300 <= status < 400:
            hint = " Check its URL."
        error = kind(self._sentence(f"{what} ({status})", message) + (again or hint))
        if isinstance(error, UpstreamBusy):
            error.retry_after = seconds
        return error

    def instead(self, content: bytes) -> UpstreamError:
        """Map what came after a 200 in the place of a short answer, such as the model list: an error, or a page."""
        text = content[:MAX_PAGE].decode("utf-8", "replace").strip()
        if text.startswith("<"):
            words = words_of(text)
            return self.complained(ErrorDetails(words, "")) if words else self.page(title_of(text))
        try:
            value = decode(content)
        except (ValueError, RecursionError):
            return self.garbled()
        details = error_in(value, answers=False) or note_in(value)
        return self.garbled() if details is None else self.complained(details)

    def in_band(self, error: Any) -> UpstreamError:
        """Map an error that came instead of an answer, or within one, after a 200."""
        return self.complained(describe(error))

    def complained(self, complaint: ErrorDetails) -> UpstreamError:
        """Map the details of an error that came after a 200."""
        message, code = complaint
        return _kind_of(message, code)(self._sentence("returned an error", message))

    def finish_reason(self, reason: str) -> str:
        """Return a server's own finish reason in a form safe to show: at most `MAX_REASON` characters."""
        return plain(self._redaction.apply(reason), MAX_REASON)

    def quote(self, words: str) -> str:
        """Return a server's message in a form safe to show: one line of plain text, bounded, without secrets."""
        return plain(self._redaction.apply(words[:MAX_REDACTED]))

    def _redirect(self, status: int, target: str) -> str:
        try:
            url = URL(target)
            public = url.with_user(None) if url.host else url
            target = str(public.with_query(None).with_fragment(None)) or target
        except ValueError:
            pass  # not a URL: quote it unchanged
        return f"{self.label} redirects to {self.quote(target)} ({status}). Check its URL."

    def _sentence(self, what: str, words: str) -> str:
        quoted = self.quote(words)
        if not quoted:
            return f"{self.label} {what}."
        end = "" if quoted.endswith((".", "!", "?", "…")) else "."
        return f"{self.label} {what}: {quoted}{end}"


def _kind_of(message: str, code: str, status: str = "") -> type[UpstreamRejected]:
    words = message.lower()
    if code in CONTEXT_CODES or any(phrase in words for phrase in _CONTEXT_WORDS):
        return ContextExceeded
    said = (status, code) if status in ("", "200") else (status,)
    if any(each in _UNAUTHORIZED for each in said):
        return UpstreamUnauthorized
    if any(each in _BUSY for each in said):
        return UpstreamBusy
    return ModelMissing if "404" in said and "model" in words else UpstreamRejected


def _no_address(message: str) -> bool:
    words = message.lower()
    return len(words) < 2 * MAX_MESSAGE and (not words or any(phrase in words for phrase in _NO_ADDRESS))


def plain(text: str, most: int = MAX_MESSAGE) -> str:
    """Return `text` on one line without control characters, at most `most` characters long."""
    clean = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in text[: 4 * most])
    line = " ".join(clean.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
