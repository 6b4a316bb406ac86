"""Finds what a refusal is about: a field of the request, an option set by the user, or the system role."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.backends.http.calls import Refusal
from app.chat.errors import UpstreamRejected
from app.chat.ports import ChatMessage, Options

# Options that a user can set, with their names on the wire.
CHOSEN = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "max_tokens": ("max_tokens", "num_predict"),
    "seed": ("seed",),
    "stop": ("stop",),
}

_ALTERNATE = re.compile(r"roles? must alternate", re.IGNORECASE)
_SYSTEM = re.compile(r"\bsystem\b", re.IGNORECASE)
# Not the name of a JSON member: nearly every error has its text in a member "message".
_ROLE = re.compile(r"role|messages?\b(?!\\*\"\s*:)|prompt|instruction|template", re.IGNORECASE)
_ROLE_STRICTLY = re.compile(r"role|template", re.IGNORECASE)


def names(text: str, field: str) -> bool:
    """Return whether a text contains the name of a field as a whole word."""
    return re.search(rf"(?<![A-Za-z0-9_]){field}(?![A-Za-z0-9_])", text) is not None


def explained(refusal: Refusal, options: Options) -> UpstreamRejected | None:
    """Return an error for a refusal that names an option set by the user; `None` if it names none.

    Options set by a user are never dropped silently.
    """
    text = refusal.body.decode("utf-8", "replace")
    chosen = (field for field in CHOSEN if getattr(options, field) is not None)
    option = next((field for field in chosen if any(names(text, name) for name in CHOSEN[field])), None)
    if option is None or type(refusal.error) is not UpstreamRejected:
        return None
    return UpstreamRejected(f"{refusal.error} The option {option} was set in this chat: clear or change it.")


def refuses_system(status: int, text: str, messages: Sequence[ChatMessage]) -> bool:
    """Return whether a refusal is about the system message at the start of `messages`."""
    if not messages or messages[0].role != "system":
        return False
    if _ALTERNATE.search(text):
        return True
    role = _ROLE if status < 500 else _ROLE_STRICTLY
    return _SYSTEM.search(text) is not None and role.search(text) is not None


def without_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Prepend the system prompt to the first user message. `messages` must start with a system message."""
    system, *rest = messages
    for place, message in enumerate(rest):
        if message.role == "user":
            first = ChatMessage("user", f"{system.content}\n\n{message.content}", message.pictures)
            return [*rest[:place], first, *rest[place + 1 :]]
    return [ChatMessage("user", system.content), *rest]
