"""Adapts requests to a server that refuses a field, and remembers the adaptations."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from app.backends.http.calls import REFUSALS, Refusal
from app.backends.http.refusals import names, refuses_system
from app.chat.ports import ChatMessage, Options

_OURS = ("stream_options", "include_usage")
# An error about an exceeded limit also names the field, but does not refuse it.
_TOO_MUCH = re.compile(
    r"too (large|big|high|long|many)|exceed|at most|at least|maximum|minimum|less than|greater than|must be|range"
    r"|context",
    re.IGNORECASE,
)


class Adaptation(msgspec.Struct, frozen=True):
    """How a request differs from OpenAI's own form. `True` marks a part that the server refused."""

    stream_options: bool = False  # omitted
    max_tokens: bool = False  # sent as `max_completion_tokens`
    system: bool = False  # prepended to the first user message

    @property
    def changes(self) -> list[str]:
        """The differences, for the log."""
        said = {
            "stream_options": "stream_options left out",
            "max_tokens": "max_completion_tokens in the place of max_tokens",
            "system": "system prompt put in front of the first user message",
        }
        return [sentence for field, sentence in said.items() if getattr(self, field)]

    def after(self, refusal: Refusal, messages: Sequence[ChatMessage], options: Options) -> Adaptation | None:
        """Return the adaptation for the next attempt, `None` if the refusal names nothing that can be changed."""
        if refusal.status not in REFUSALS:
            return None
        text = refusal.body.decode("utf-8", "replace")
        change = msgspec.structs.replace
        if not self.stream_options and any(names(text, field) for field in _OURS):
            return change(self, stream_options=True)
        if not self.max_tokens and options.max_tokens is not None and _refuses_max_tokens(text):
            return change(self, max_tokens=True)
        if not self.system and refuses_system(refusal.status, text, messages):
            return change(self, system=True)
        return None


class RefusedOptions:
    """The known adaptations of one server, per server and per model."""

    def __init__(self) -> None:
        self._without_stream_options = False
        self._models: dict[str, Adaptation] = {}

    def __repr__(self) -> str:
        return (
            f"<RefusedOptions stream_options={not self._without_stream_options} models={len(self._models)}>"
        )

    def of(self, model: str) -> Adaptation:
        """Return the adaptation for a model."""
        known = self._models.get(model, Adaptation())
        return msgspec.structs.replace(known, stream_options=self._without_stream_options)

    def learn(self, model: str, adaptation: Adaptation) -> None:
        """Remember an accepted adaptation: `stream_options` for the whole server, the rest for the model."""
        self._without_stream_options = self._without_stream_options or adaptation.stream_options
        self._models[model] = adaptation


def _refuses_max_tokens(text: str) -> bool:
    if names(text, "max_completion_tokens"):
        return True
    return names(text, "max_tokens") and _TOO_MUCH.search(text) is None
