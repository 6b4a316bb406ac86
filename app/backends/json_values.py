"""Tolerant access to a model server's JSON: a value of an unexpected type counts as missing."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_decoder = msgspec.json.Decoder()
MAX_SIZE = 4 * 1024 * 1024  # bytes; decoded values take up to twenty times the memory of their text
MAX_LENIENT = 1024 * 1024  # bytes, for the slower, lenient decoder
MAX_DIGITS = 40  # of an integer; no real count has more


def decode(data: bytes) -> Any:
    """Return the JSON value in `data`. Raises `ValueError` if it is not JSON, too large, or nested too deeply.

    Beyond RFC 8259 it accepts what servers are known to send: NaN and infinities, control characters in strings,
    lone surrogates, and invalid UTF-8 bytes, which become lone surrogates (PEP 383).
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
    return int(digits) if len(digits) <= MAX_DIGITS else 0  # int() rejects thousands of digits


def member(value: Any, name: str) -> Any:
    """Return a member of an object, `None` if `value` is not an object or has no such member."""
    return value.get(name) if isinstance(value, dict) else None


def text_or_none(value: Any) -> str | None:
    """Return a non-empty string, else `None`."""
    return value if isinstance(value, str) and value else None


def count_or_none(value: Any) -> int | None:
    """Return a non-negative integer, else `None`. Servers also send `7.0`; `true` is not a count."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def items(value: Any) -> list[Any]:
    """Return `value` if it is a list, else an empty list."""
    return value if isinstance(value, list) else []


def listing(value: Any) -> list[Any]:
    """Return the entries of a list response: a bare list, a list under `data` or `models`, or null if it is empty.

    Raises `ValueError` for any other value.
    """
    if value is None or isinstance(value, list):
        return items(value)
    if not isinstance(value, dict) or not ("data" in value or "models" in value):
        raise ValueError("no list")
    return items(value.get("data")) or items(value.get("models"))
