"""Why an answer ended: the words of many servers as the few that the protocol has."""

from __future__ import annotations

from typing import Any

MAX_REASON = 40  # characters of a reason that we do not know
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


def end_reason(reason: Any) -> str | None:
    """Return why an answer ended, in the protocol's word where there is one; `None` while it goes on.

    A number or an object ends the answer as well, but says nothing that anybody would understand: `stop`.
    """
    if not isinstance(reason, str):
        return "stop" if reason else None
    word = "".join(char for char in reason.strip() if char.isprintable())[:MAX_REASON]
    lower = word.lower()
    if lower in _NONE:
        return None
    return _KNOWN.get(lower, lower)
