"""What a refusal names: a field of the request, an option that somebody set, the role of the system."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.backends.http.calls import Refusal
from app.chat.errors import UpstreamRejected
from app.chat.ports import ChatMessage, Options

# Options that a user sets, each with the names that it has on the wire.
CHOSEN = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "max_tokens": ("max_tokens", "num_predict"),
    "seed": ("seed",),
    "stop": ("stop",),
}

_ALTERNATE = re.compile(r"roles? must alternate", re.IGNORECASE)
_SYSTEM = re.compile(r"\bsystem\b", re.IGNORECASE)
# Not the names of JSON's members: nearly every error has its words in one that is called "message".
_ROLE = re.compile(r"role|messages?\b(?!\\*\"\s*:)|prompt|instruction|template", re.IGNORECASE)
_ROLE_STRICTLY = re.compile(r"role|template", re.IGNORECASE)


def names(text: str, field: str) -> bool:
    """Tell whether a text names a field of the request."""
    return re.search(rf"(?<![A-Za-z0-9_]){field}(?![A-Za-z0-9_])", text) is not None


def explained(refusal: Refusal, options: Options) -> UpstreamRejected | None:
    """Return the error of a refusal that names an option which the user has set; `None` if it names none.

    What somebody has set is not dropped in silence.
    """
    text = refusal.body.decode("utf-8", "replace")
    chosen = (field for field in CHOSEN if getattr(options, field) is not None)
    option = next((field for field in chosen if any(names(text, name) for name in CHOSEN[field])), None)
    if option is None or type(refusal.error) is not UpstreamRejected:
        return None
    return UpstreamRejected(f"{refusal.error} The option {option} was set in this chat: clear or change it.")


def refuses_system(status: int, text: str, messages: Sequence[ChatMessage]) -> bool:
    """Tell whether a refusal is one of the system message that these messages begin with."""
    if not messages or messages[0].role != "system":
        return False
    if _ALTERNATE.search(text):
        return True
    role = _ROLE if status < 500 else _ROLE_STRICTLY
    return _SYSTEM.search(text) is not None and role.search(text) is not None


def without_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Put the system prompt in front of the first message of the user."""
    system, *rest = messages
    for place, message in enumerate(rest):
        if message.role == "user":
            first = ChatMessage("user", f"{system.content}\n\n{message.content}", message.pictures)
            return [*rest[:place], first, *rest[place + 1 :]]
    return [ChatMessage("user", system.content), *rest]
