"""Values out of a model server's JSON, read tolerantly: what is of another type than expected counts as missing."""

from __future__ import annotations

from typing import Any

import msgspec

_decoder = msgspec.json.Decoder()


def decode(data: bytes) -> Any:
    """Return the JSON value in `data`. Raises `ValueError` for what is no JSON, or is nested too deeply."""
    try:
        return _decoder.decode(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def member(value: Any, name: str) -> Any:
    """Return a member of an object; `None` where `value` is no object, or has none of that name."""
    return value.get(name) if isinstance(value, dict) else None


def text_or_none(value: Any) -> str | None:
    """Return a text that says something."""
    return value if isinstance(value, str) and value else None


def count_or_none(value: Any) -> int | None:
    """Return a whole number that counts something. Servers also write `7.0`; neither -1 nor `true` is a count."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def items(value: Any) -> list[Any]:
    """Return a list, empty where `value` is none."""
    return value if isinstance(value, list) else []


def listing(value: Any) -> list[Any]:
    """Return the list in an answer that lists something: bare, under `data` or `models`, or null where it is empty.

    Raises `ValueError` for what is no such answer.
    """
    if value is None or isinstance(value, list):
        return items(value)
    if not isinstance(value, dict) or not ("data" in value or "models" in value):
        raise ValueError("no list")
    return items(value.get("data")) or items(value.get("models"))
