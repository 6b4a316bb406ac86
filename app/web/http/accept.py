"""Content negotiation by weights (RFC 9110, sections 12.4.2 and 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from aiohttp import hdrs, web

JSON = "application/json"
PROBLEM = "application/problem+json"
HTML = "text/html"
EVENTS = "text/event-stream"
LINES = "application/x-ndjson"

KNOWN = 256  # headers that are remembered

# A list member, and a parameter of a member. Quoted commas and semicolons do not separate.
_MEMBER = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PARAMETER = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+')
_WEIGHT = re.compile(r"[0-9]*+\.?[0-9]*+")  # possessive: `[0-9]*[0-9]*` tries every cut of a long number


class Member(NamedTuple):
    """A member of a weighted header: lower-case value, weight from 0 to 1, whether it has further parameters."""

    value: str
    weight: float
    is_narrower: bool


class Rank(NamedTuple):
    """A client's preference for a media type. Greater is better; weight 0 means not acceptable."""

    weight: float
    exactness: int  # 3: the type itself, 2: with parameters, 1: `text/*`, 0: `*/*`


def members(header: str) -> Iterator[Member]:
    """Yield the members of a header of weighted values. Members with a malformed weight are skipped."""
    for member in _MEMBER.findall(header):
        value, *parameters = [part.strip() for part in _PARAMETER.findall(member)] or [""]
        pairs = [parameter.partition("=")[::2] for parameter in parameters]
        named = {name.strip().lower(): text.strip(' \t"') for name, text in pairs}
        weight = _weight(named.pop("q", "1"))
        is_narrower = bool(named.keys() - {"charset"} or named.get("charset", "utf-8").lower() != "utf-8")
        if value and weight is not None:
            yield Member(value.lower(), weight, is_narrower)


def _weight(text: str) -> float | None:
    if not _WEIGHT.fullmatch(text) or text in ("", "."):
        return None
    return min(float(text), 1.0)


def rank(accepted: Sequence[Member], media_type: str) -> Rank | None:
    """Return the preference for a media type, from the most specific member; `None` if none matches."""
    found = [
        Rank(member.weight, exactness)
        for member in accepted
        if (exactness := _exactness(member, media_type)) is not None
    ]
    return max(found, key=lambda each: (each.exactness, each.weight), default=None)


def _exactness(member: Member, media_type: str) -> int | None:
    if member.value == media_type:
        # Our types have no variants: a member with parameters matches the plain type, but weight 0 rejects nothing.
        if member.is_narrower:
            return 2 if member.weight else None
        return 3
    if member.value == media_type.partition("/")[0] + "/*":
        return 1
    return 0 if member.value in ("*/*", "*") else None


def _header(request: web.Request) -> str:
    """Return all `Accept` headers as one."""
    return ",".join(request.headers.getall(hdrs.ACCEPT, ()))


def accepted(header: str) -> list[Member]:
    """Return the members of an `Accept` header; without any, everything is acceptable."""
    return list(members(header)) or [Member("*/*", 1.0, False)]


def wants_html(request: web.Request) -> bool:
    """Return whether HTML is preferred to JSON: so for browser navigation, not for requests of our scripts."""
    return _prefers_html(_header(request))


def names_json(request: web.Request) -> bool:
    """Return whether the client names JSON and prefers it to HTML. `*/*` and no `Accept` do not name it."""
    return any(member.value == JSON for member in members(_header(request))) and not wants_html(request)


# Cached: a client sends the same header with every request.
@lru_cache(maxsize=KNOWN)
def _prefers_html(header: str) -> bool:
    wanted = accepted(header)
    html = rank(wanted, HTML)
    data = max((found for each in (PROBLEM, JSON) if (found := rank(wanted, each))), default=Rank(0.0, 0))
    return html is not None and html.weight > 0 and html > data


def best(request: web.Request, streams: tuple[str, ...]) -> str | None:
    """Return the client's preferred type of `application/json` and `streams`; `None` if it accepts none.

    On a tie the first of `streams` that the client named wins, else JSON. A client that names none of them gets JSON.
    """
    return _best(_header(request), streams)


@lru_cache(maxsize=KNOWN)
def _best(header: str, streams: tuple[str, ...]) -> str | None:
    wanted = accepted(header)
    ranks = {each: rank(wanted, each) for each in (JSON, *streams)}
    welcome = {each: found for each, found in ranks.items() if found and found.weight > 0}
    if not welcome:
        return JSON if ranks[JSON] is None else None
    top = max(welcome.values())
    equals = [each for each, found in welcome.items() if found == top]
    return next((each for each in equals if each != JSON), JSON) if top.exactness > 1 else equals[0]


def takes_gzip(request: web.Request) -> bool:
    """Return whether the client accepts gzip (RFC 9110, section 12.5.3)."""
    header = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))
    weights = {member.value: member.weight for member in members(header)}
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0
