"""Extracts the needed values from one piece of an answer, in any known shape."""

from __future__ import annotations

from typing import Any

from app.backends.decoding.finish_reasons import ERROR, end_reason
from app.backends.errors.bodies import ErrorDetails, describe, error_in
from app.backends.json_values import count_or_none, member
from app.chat.ports import Kind, Usage

MAX_DEPTH = 6  # of nested parts
MAX_PARTS = 10_000  # per list
_REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_text", "thought", "reasoning_details")
_REASONING_TYPES = (
    "thinking",
    "reasoning",
    "reasoning.text",
    "reasoning.summary",
    "reasoning_text",
    "summary_text",
)
_TOOL_TYPES = ("tool_use", "tool_call", "tool_calls", "function_call")
_TEXTS = ("text", "content", "value", "summary", "parts", "output_text")
_WRAPPERS = ("data", "result", "response", "output")


class Found:
    """What one JSON value contains of an answer."""

    __slots__ = (
        "complaint",
        "done",
        "known",
        "pieces",
        "reason",
        "refused",
        "spare",
        "tools",
        "usage",
        "whole",
    )

    def __init__(self) -> None:
        self.pieces: list[tuple[Kind, str]] = []
        self.spare: list[tuple[Kind, str]] = []  # a whole message next to a delta: used if no delta had text
        self.reason: str | None = None  # finish reason, in the protocol's terms
        self.done = False  # whether this is the end mark
        self.whole = False  # whether it is a whole answer rather than a piece
        self.known = False  # whether it was any part of an answer at all
        self.refused = False  # whether the text is a refusal
        self.tools = False  # whether the model asked for a tool
        self.usage: Usage | None = None
        self.complaint: ErrorDetails | None = None


def find(value: Any) -> Found:
    """Extract the needed values from a JSON value. Never fails: unknown shapes give an empty `Found`."""
    found = Found()
    value = _unwrapped(value)
    choice = _choice(value)
    message = None if choice is not None else member(value, "message")
    answers = choice is not None or (
        isinstance(message, dict) and ("content" in message or "role" in message)
    )
    found.complaint = error_in(value, answers=answers)
    if choice is not None:
        _choose(found, choice, value)
    elif answers or "response" in _object(value):
        _ollama(found, value, message)
    _end(found, value)
    found.usage = _usage(value, choice)
    return found


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _unwrapped(value: Any) -> Any:
    """Return the answer from an envelope such as `{"code": 0, "data": {"choices": …}}`."""
    if isinstance(value, dict) and not value.get("choices"):
        for key in _WRAPPERS:
            if isinstance(inner := value.get(key), dict) and inner.get("choices"):
                return inner
    return value


def _choice(value: Any) -> dict[str, Any] | None:
    """Return the first choice: only one was requested."""
    choices = member(value, "choices")
    if isinstance(choices, dict):
        return choices
    if not isinstance(choices, list):
        return None
    objects = [choice for choice in choices[:MAX_PARTS] if isinstance(choice, dict)]
    return next(
        (choice for choice in objects if choice.get("index") in (0, None)), objects[0] if objects else None
    )


def _choose(found: Found, choice: dict[str, Any], value: Any) -> None:
    found.known = True
    if found.complaint is None and error_in(choice, answers=True):
        found.complaint = describe(choice)
    delta, message = choice.get("delta"), choice.get("message")
    _message(found, found.pieces, delta)
    if delta is None:
        _message(found, found.pieces, message)
        _add(found, found.pieces, "token", choice.get("text"), 0)  # legacy completions
        found.whole = bool(found.pieces) and member(value, "object") != "chat.completion.chunk"
    else:
        _message(found, found.spare, message)
    reason = choice.get("finish_reason", choice.get("finishReason"))
    found.reason = end_reason(reason)
    if found.reason == ERROR and found.complaint is None:
        found.complaint = ErrorDetails("" if found.reason == str(reason).lower() else str(reason), "")


def _ollama(found: Found, value: dict[str, Any], message: Any) -> None:
    found.known = True
    _message(found, found.pieces, message)
    _add(found, found.pieces, "reasoning", value.get("thinking"), 0)
    _add(found, found.pieces, "token", value.get("response"), 0)


def _end(found: Found, value: Any) -> None:
    if member(value, "done") in (True, "true"):
        found.done = found.known = True
        found.reason = end_reason(member(value, "done_reason")) or found.reason or "stop"
        if found.reason == ERROR and found.complaint is None:
            found.complaint = ErrorDetails("", "")


def _usage(value: Any, choice: Any) -> Usage | None:
    """Return the token counts: OpenAI's, next to the choices or in one, or Ollama's; `None` without them."""
    for counts in (member(value, "usage"), member(choice, "usage"), value):
        prompt, completion = (
            _first_count(counts, ("prompt_tokens", "input_tokens", "prompt_eval_count")),
            _first_count(counts, ("completion_tokens", "output_tokens", "eval_count")),
        )
        if completion is not None:
            # Ollama omits prompt_eval_count if the whole prompt was cached.
            return Usage(prompt or 0, completion)
    return None


def _first_count(counts: Any, names: tuple[str, ...]) -> int | None:
    return next((count for name in names if (count := count_or_none(member(counts, name))) is not None), None)


Pieces = list[tuple[Kind, str]]


def _message(found: Found, into: Pieces, message: Any) -> None:
    """Collect the texts of a message or a delta: reasoning first, then content, then a refusal."""
    if not isinstance(message, dict):
        _add(found, into, "token", message, 0)
        return
    before = len(into)
    for name in _REASONING:  # some servers send the same text under two of these names
        _add(found, into, "reasoning", message.get(name), 0)
        if len(into) > before:
            break
    before = len(into)
    for name in ("content", "text"):
        _add(found, into, "token", message.get(name), 0)
        if len(into) > before:
            break
    _add(found, into, "token", member(message.get("audio"), "transcript"), 0)
    _refusal(found, into, message.get("refusal"))
    found.tools = found.tools or bool(message.get("tool_calls") or message.get("function_call"))


def _refusal(found: Found, into: Pieces, refusal: Any) -> None:
    before = len(into)
    _add(found, into, "token", refusal, 0)
    found.refused = found.refused or len(into) > before


def _add(found: Found, into: Pieces, kind: Kind, value: Any, depth: int) -> None:
    """Collect the texts in a value: a string, a number, a list of parts, or a part."""
    if isinstance(value, str):
        if value:
            into.append((kind, value))
    elif depth > MAX_DEPTH or isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        into.append((kind, str(value)))
    elif isinstance(value, list):
        for part in value[:MAX_PARTS]:
            _add(found, into, kind, part, depth + 1)
    elif isinstance(value, dict):
        _part(found, into, kind, value, depth)


def _part(found: Found, into: Pieces, kind: Kind, part: dict[str, Any], depth: int) -> None:
    sort = part.get("type")
    if sort in _TOOL_TYPES:
        found.tools = True
        return
    if part.get("refusal"):
        _refusal(found, into, part["refusal"])
        return
    if sort in _REASONING_TYPES or part.get("thought") is True:
        kind = "reasoning"
    before = len(into)
    for name in ("thinking", "reasoning", *_TEXTS):
        said: Kind = "reasoning" if name in ("thinking", "reasoning") else kind
        if isinstance(inner := part.get(name), str | list | dict):
            _add(found, into, said, inner, depth + 1)
        if len(into) > before:
            return
