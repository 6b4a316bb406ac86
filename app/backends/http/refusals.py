"""A refused request: what the refusal is about, a field, an option set by the user, or the system role."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from app.backends.errors.bodies import read_error_body
from app.backends.http.client import MAX_ERROR_BODY
from app.chat.errors import UpstreamError, UpstreamRejected
from app.chat.ports import ChatMessage, Options

# Statuses of a refusal. 500, because gateways may report a refusal by their upstream so, and template errors are 500s.
REFUSALS = frozenset({400, 422, 500})
_THEIR_FAULT = ("server", "internal")  # in textual codes that correspond to 500 rather than 400
# Options that a user can set, with their names on the wire.
CHOSEN = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "max_tokens": ("max_tokens", "num_predict"),
    "seed": ("seed",),
    "stop": ("stop",),
}

# Sentences about the order of the roles, or the role of the first message, that do not name the system role.
_FIRST_ROLE = re.compile(
    r"roles? must alternate|roles? (?:is|are) (?:not )?(?:supported|allowed|valid)"
    r"|only (?:the )?user and (?:assistant|model)"
    r"|(?:start|begin) with (?:a |an |the )?user|first message (?:must|should|has to)"
    r"|(?:invalid|unknown|unsupported|unexpected) (?:message )?role|messages\W{1,8}0\W{1,8}role",
    re.IGNORECASE,
)
_SYSTEM = re.compile(r"\bsystem\b|\bdeveloper (?:instruction|message|role|prompt)", re.IGNORECASE)
# Not the name of a JSON member: nearly every error has its text in a member "message".
_ROLE = re.compile(r"role|messages?\b(?!\\*\"\s*:)|prompt|instruction|template", re.IGNORECASE)
_ROLE_STRICTLY = re.compile(r"role|template", re.IGNORECASE)


class Refusal(NamedTuple):
    """A server's response to a request that it refuses."""

    status: int  # HTTP status
    body: bytes
    error: UpstreamError  # the same refusal as an error for users

    @classmethod
    def after_200(cls, body: bytes, error: UpstreamError) -> Refusal | None:
        """Return the refusal in an error that came instead of an answer; `None` if its status is not in `REFUSALS`.

        Many servers send their headers before they check the request, so the error's code takes the place of the
        status. Without a numeric code it counts as 400, or as 500 if the code names a server fault.
        """
        body = body[:MAX_ERROR_BODY]
        code = read_error_body(body).code.lower()
        if code.isascii() and code.isdigit() and len(code) == 3:
            status = int(code)
        else:
            status = 500 if any(word in code for word in _THEIR_FAULT) else 400
        return cls(status, body, error) if status in REFUSALS else None


def names(text: str, field: str) -> bool:
    """Return whether a text contains the name of a field as a whole word, as it is or in camel case."""
    first, *others = field.split("_")
    camel = first + "".join(map(str.title, others))
    return re.search(rf"(?<![A-Za-z0-9_])(?:{field}|{camel})(?![A-Za-z0-9_])", text) is not None


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
    if _FIRST_ROLE.search(text):
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
