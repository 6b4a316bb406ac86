"""Maps the finish reasons of many servers to the few of the protocol."""

from __future__ import annotations

from typing import Any

MAX_LOOK = 1024  # characters of a finish reason that are looked at
ERROR = "error"

_NONE = ("", "null", "none", "unspecified", "finish_reason_unspecified", "in_progress")
_WORDS = {
    "stop": "end_turn eos eos_token end stop_sequence stopped complete completed done finished success",
    "length": "max_tokens max_token max_length max_output_tokens token_limit model_length",
    "content_filter": (
        "content_filtered content-filter safety recitation blocklist prohibited_content spii image_safety sensitive "
        "guardrail_intervened language"
    ),
    "refusal": "refused",
    "tool_calls": "tool_call tool_use function_call function_calls",
    ERROR: (
        "abort aborted cancelled canceled failed network_error server_error timeout insufficient_system_resource "
        "malformed_function_call other_error"
    ),
}
_KNOWN = {alias: word for word, aliases in _WORDS.items() for alias in aliases.split()}
USUAL = frozenset(_WORDS)  # the protocol's own


def end_reason(reason: Any) -> str | None:
    """Return the finish reason, in the protocol's term if there is one; `None` while the answer continues.

    A number or an object also ends the answer, but has no readable meaning: it becomes `stop`.
    """
    if not isinstance(reason, str):
        return "stop" if reason else None
    word = "".join(char for char in reason[:MAX_LOOK].strip() if char.isprintable())
    lower = word.lower()
    if lower in _NONE:
        return None
    return _KNOWN.get(lower, lower)
