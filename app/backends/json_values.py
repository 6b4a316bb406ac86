"""Tolerant access to a model server's JSON: a value of an unexpected type counts as missing."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

_decoder = msgspec.json.Decoder()
MAX_SIZE = 4 * 1024 * 1024  # bytes
LARGE = 64 * 1024  # bytes; larger values are weighed first
MAX_WEIGHT = 16 * 1024 * 1024  # bytes that a decoded value may take beside its texts
ITEM_BYTES, OBJECT_BYTES = 64, 256  # that an item of an array, and an object, takes at least
MOST_COUNT = 2**53  # exclusive: beyond it numbers in JSON are not exact (RFC 8259, section 6)
MAX_LENIENT = 1024 * 1024  # bytes, for the slower, lenient decoder
MAX_DIGITS = 40  # of an integer; no real count has more
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def decode(data: bytes) -> Any:
    """Return the JSON value in `data`. Raises `ValueError` if it is not JSON, too large, or nested too deeply.

    Beyond RFC 8259 it accepts what servers are known to send: NaN and infinities, control characters in strings,
    lone surrogates, and invalid UTF-8 bytes, which become lone surrogates (PEP 383).
    """
    if len(data) > MAX_SIZE or (len(data) > LARGE and weight(data) > MAX_WEIGHT):
        raise ValueError("too large")
    try:
        return _decoder.decode(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError:
        return _leniently(data)


def lacks_end(data: bytes) -> bool:
    """Return whether what is no JSON value would go on: it ends within a string, an array or an object."""
    rest = _STRING.sub(b"", data)
    return b'"' in rest or rest.count(b"{") + rest.count(b"[") > rest.count(b"}") + rest.count(b"]")


def weight(data: bytes) -> int:
    """Return about how many bytes the values in a JSON text will take, without their texts: at most so many."""
    return ITEM_BYTES * (data.count(b",") + data.count(b"[")) + OBJECT_BYTES * data.count(b"{")


def _leniently(data: bytes) -> Any:
    if len(data) > MAX_LENIENT:
        raise ValueError("too large")
    try:
        return _lenient_decoder.decode(data.decode("utf-8", "surrogateescape"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= MAX_DIGITS else 0  # int() rejects thousands of digits


# Making one for each value, as `json.loads` does, would be most of the work.
_lenient_decoder = json.JSONDecoder(strict=False, parse_int=_integer)


def member(value: Any, name: str) -> Any:
    """Return a member of an object, `None` if `value` is not an object or has no such member."""
    return value.get(name) if isinstance(value, dict) else None


def text_or_none(value: Any) -> str | None:
    """Return a non-empty string, else `None`."""
    return value if isinstance(value, str) and value else None


def count_or_none(value: Any) -> int | None:
    """Return an integer from 0 to below `MOST_COUNT`, else `None`. Servers also send `7.0`; `true` is not a count."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MOST_COUNT:
        return None
    return value


def number_text(value: float) -> str:
    """Return a number as text; empty for an integer of more than `MAX_DIGITS` digits, which is none of a text."""
    return "" if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS else str(value)


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
