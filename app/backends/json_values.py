"""Values out of a model server's JSON, read tolerantly: what is of another type than expected counts as missing."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_decoder = msgspec.json.Decoder()
MAX_SIZE = 4 * 1024 * 1024  # bytes; values of any shape take up to twenty times as much memory as their text
MAX_LENIENT = 1024 * 1024  # bytes, for the slower of the two readers
MAX_DIGITS = 40  # of an integer; none that counts anything has more


def decode(data: bytes) -> Any:
    """Return the JSON value in `data`. Raises `ValueError` for what is no JSON, is too large or nested too deeply.

    Beyond RFC 8259 it takes what servers are known to write: NaN and infinities, control characters in texts,
    lone surrogates, and bytes that are no UTF-8, which become lone surrogates as PEP 383 has it.
    """
    if len(data) > MAX_SIZE:
        raise ValueError("too large")
    try:
        return _decoder.decode(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError:
        return _leniently(data)


def _leniently(data: bytes) -> Any:
    if len(data) > MAX_LENIENT:
        raise ValueError("too large")
    try:
        text = data.decode("utf-8", "surrogateescape")
        return json.loads(text, strict=False, parse_int=_integer)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= MAX_DIGITS else 0  # int() refuses to read thousands of them


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
