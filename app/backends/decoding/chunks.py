"""Extracts the needed values from one piece of an answer, in any known shape."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from app.backends.decoding.finish_reasons import ERROR, end_reason
from app.backends.errors.bodies import ErrorDetails, error_in, note_in
from app.backends.json_values import count_or_none, member, number_text
from app.chat.ports import Kind, Usage

MAX_DEPTH = 6  # of nested parts
MAX_PARTS = 10_000  # that are looked at in one value
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


Pieces = list[tuple[Kind, str]]


class Found(msgspec.Struct):
    """What one JSON value contains of an answer."""

    pieces: Pieces = []
    spare: Pieces = []  # a whole message next to a delta: used if no delta had text
    reason: str | None = None  # finish reason, in the protocol's terms
    done: bool = False  # whether this is the end mark
    whole: bool = False  # whether it is a whole answer rather than a piece
    known: bool = False  # whether it was any part of an answer at all
    refused: bool = False  # whether the text is a refusal
    tools: bool = False  # whether the model asked for a tool
    usage: Usage | None = None
    complaint: ErrorDetails | None = None
    note: ErrorDetails | None = None  # what is an error if no answer comes
    parts: int = 0  # looked at so far


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
    found.note = None if answers else note_in(value)
    if choice is not None:
        _choose(found, choice, value)
    elif answers or "response" in _object(value):
        _ollama(found, value, message)
    _end(found, value)
    found.usage = _usage(value, choice)
    return found


def joined(pieces: Pieces) -> Pieces:
    """Return the pieces with neighbours of one kind joined."""
    return [(kind, "".join(text for _, text in texts)) for kind, texts in groupby(pieces, key=itemgetter(0))]


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
    delta, message = choice.get("delta"), choice.get("message")
    found.complaint = found.complaint or next(
        (error for part in (choice, delta, message) if (error := error_in(part, answers=True))), None
    )
    _message(found, found.pieces, delta)
    if delta is None:
        _message(found, found.pieces, message)
        _add(found, found.pieces, "token", choice.get("text"))  # legacy completions
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
    _add(found, found.pieces, "reasoning", value.get("thinking"))
    _add(found, found.pieces, "token", value.get("response"))


def _end(found: Found, value: Any) -> None:
    if member(value, "done") in (True, "true"):
        found.done = found.known = True
        found.reason = end_reason(member(value, "done_reason")) or found.reason or "stop"
        if found.reason == ERROR and found.complaint is None:
            found.complaint = ErrorDetails("", "")


def _usage(value: Any, choice: Any) -> Usage | None:
    """Return the token counts: OpenAI's, next to the choices or in one, or Ollama's; `None` without them."""
    for counts in (member(value, "usage"), member(choice, "usage"), value):
        if not isinstance(counts, dict):
            continue
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


def _message(found: Found, into: Pieces, message: Any) -> None:
    """Collect the texts of a message or a delta: reasoning first, then content, then a refusal."""
    if not isinstance(message, dict):
        _add(found, into, "token", message)
        return
    # Some servers send the same text under two of the names.
    _first(found, into, "reasoning", message, _REASONING)
    _first(found, into, "token", message, ("content", "text"))
    _add(found, into, "token", member(message.get("audio"), "transcript"))
    _refusal(found, into, message.get("refusal"))
    found.tools = found.tools or bool(message.get("tool_calls") or message.get("function_call"))


def _first(found: Found, into: Pieces, kind: Kind, message: dict[str, Any], names: tuple[str, ...]) -> None:
    """Collect the text under the first of the names that has any."""
    before = len(into)
    for name in names:
        _add(found, into, kind, message.get(name))
        if len(into) > before:
            return


def _refusal(found: Found, into: Pieces, refusal: Any) -> None:
    before = len(into)
    _add(found, into, "token", refusal)
    found.refused = found.refused or len(into) > before


def _add(found: Found, into: Pieces, kind: Kind, value: Any, depth: int = 0) -> None:
    """Collect the texts in a value: a string, a number, a list of parts, or a part."""
    if isinstance(value, str):
        if value:
            into.append((kind, value))
    elif depth > MAX_DEPTH or isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        into.append((kind, number_text(value)))
    elif isinstance(value, list):
        for part in value:
            found.parts += 1
            if found.parts > MAX_PARTS:
                return
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
