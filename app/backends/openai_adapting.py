"""What a server has refused to take, how to ask it without, and what is remembered of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from app.streams.ports import ChatMessage, Options

# A gateway may pass on a refusal of the server behind it as its own failure; and templates fail with a 500.
REFUSALS = frozenset({400, 422, 500})
CHOSEN = ("temperature", "top_p", "max_tokens", "seed", "stop")  # options that a user sets

_OURS = ("stream_options", "include_usage")
# A limit that is exceeded names its field, too. It is no refusal of the field.
_TOO_MUCH = re.compile(
    r"too (large|big|high|long|many)|exceed|at most|at least|maximum|minimum|less than|greater than|must be|range"
    r"|context",
    re.IGNORECASE,
)
_ALTERNATE = re.compile(r"roles? must alternate", re.IGNORECASE)
_SYSTEM = re.compile(r"\bsystem\b", re.IGNORECASE)
_ROLE = re.compile(r"role|messages?\b|prompt|instruction|template", re.IGNORECASE)
_ROLE_STRICTLY = re.compile(r"role|template", re.IGNORECASE)


class Adaptation(msgspec.Struct, frozen=True):
    """How a request differs from what OpenAI's own servers take. `True` is what was refused."""

    stream_options: bool = False  # left out
    max_tokens: bool = False  # sent as `max_completion_tokens`
    system: bool = False  # put in front of the first message of the user

    @property
    def changes(self) -> list[str]:
        """What is different, for the log."""
        said = {
            "stream_options": "stream_options left out",
            "max_tokens": "max_completion_tokens in the place of max_tokens",
            "system": "system prompt put in front of the first user message",
        }
        return [sentence for field, sentence in said.items() if getattr(self, field)]

    def after(
        self, status: int, body: bytes, messages: Sequence[ChatMessage], options: Options
    ) -> Adaptation | None:
        """Return how to ask again after a refusal, `None` if nothing that we can change was refused."""
        if status not in REFUSALS:
            return None
        text = body.decode("utf-8", "replace")
        change = msgspec.structs.replace
        if not self.stream_options and any(names(text, field) for field in _OURS):
            return change(self, stream_options=True)
        if not self.max_tokens and options.max_tokens is not None and _refuses_max_tokens(text):
            return change(self, max_tokens=True)
        if not self.system and messages and messages[0].role == "system" and _refuses_system(status, text):
            return change(self, system=True)
        return None


class Memory:
    """What was learned of one server: of all its models, or of one."""

    def __init__(self) -> None:
        self._without_stream_options = False
        self._models: dict[str, Adaptation] = {}

    def __repr__(self) -> str:
        return f"<Memory stream_options={not self._without_stream_options} models={len(self._models)}>"

    def of(self, model: str) -> Adaptation:
        """Return how to ask this model."""
        known = self._models.get(model, Adaptation())
        return msgspec.structs.replace(known, stream_options=self._without_stream_options)

    def learn(self, model: str, adaptation: Adaptation) -> None:
        """Remember what worked. `stream_options` are the server's matter, the rest is the model's."""
        self._without_stream_options = self._without_stream_options or adaptation.stream_options
        self._models[model] = adaptation


def names(text: str, field: str) -> bool:
    """Tell whether a text names a field of the request."""
    return re.search(rf"(?<![A-Za-z0-9_]){field}(?![A-Za-z0-9_])", text) is not None


def refused_option(text: str, options: Options) -> str | None:
    """Return which option that the user has set a refusal names, if it names one."""
    chosen = (field for field in CHOSEN if getattr(options, field) is not None)
    return next((field for field in chosen if names(text, field)), None)


def without_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Put the system prompt in front of the first message of the user."""
    system, *rest = messages
    for place, message in enumerate(rest):
        if message.role == "user":
            first = ChatMessage("user", f"{system.content}\n\n{message.content}", message.pictures)
            return [*rest[:place], first, *rest[place + 1 :]]
    return [ChatMessage("user", system.content), *rest]


def _refuses_max_tokens(text: str) -> bool:
    if names(text, "max_completion_tokens"):
        return True
    return names(text, "max_tokens") and _TOO_MUCH.search(text) is None


def _refuses_system(status: int, text: str) -> bool:
    if _ALTERNATE.search(text):
        return True
    role = _ROLE if status < 500 else _ROLE_STRICTLY
    return _SYSTEM.search(text) is not None and role.search(text) is not None
