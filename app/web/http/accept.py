"""Content negotiation: what a client accepts, by weights (RFC 9110, sections 12.4.2 and 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aiohttp import hdrs, web

JSON = "application/json"
PROBLEM = "application/problem+json"
HTML = "text/html"
EVENTS = "text/event-stream"
LINES = "application/x-ndjson"

# One member of a list, and one parameter of a member: commas and semicolons in quotes are text.
_MEMBER = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PARAMETER = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+')
_WEIGHT = re.compile(r"[0-9]*\.?[0-9]*")


class Member(NamedTuple):
    """A member of such a header: its value in lower case, its weight from 0 to 1, whether it has other parameters."""

    value: str
    weight: float
    is_narrower: bool


class Rank(NamedTuple):
    """How much a media type is wanted. Greater is better; a weight of 0 is a refusal."""

    weight: float
    exactness: int  # 3: the type itself, 2: with parameters, 1: `text/*`, 0: `*/*`


def members(header: str) -> Iterator[Member]:
    """Yield the members of a header in which each may have a weight. Those whose weight is malformed are left out."""
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
    """Return how much a media type is wanted: the most exact member counts. `None` if no member covers it."""
    found = [
        Rank(member.weight, exactness)
        for member in accepted
        if (exactness := _exactness(member, media_type)) is not None
    ]
    return max(found, key=lambda each: (each.exactness, each.weight), default=None)


def _exactness(member: Member, media_type: str) -> int | None:
    if member.value == media_type:
        # No type has variants here, so a member that asks for one is served with what there is, but refuses nothing.
        if member.is_narrower:
            return 2 if member.weight else None
        return 3
    if member.value == media_type.partition("/")[0] + "/*":
        return 1
    return 0 if member.value in ("*/*", "*") else None


def accepted(request: web.Request) -> list[Member]:
    """Return the members of all `Accept` headers; without any, everything is welcome."""
    return list(members(",".join(request.headers.getall(hdrs.ACCEPT, ())))) or [Member("*/*", 1.0, False)]


def wants_html(request: web.Request) -> bool:
    """Tell whether HTML is wanted more than JSON: a browser navigates here, and no script of ours asks."""
    wanted = accepted(request)
    html = rank(wanted, HTML)
    data = max((found for each in (PROBLEM, JSON) if (found := rank(wanted, each))), default=Rank(0.0, 0))
    return html is not None and html.weight > 0 and html > data


def best(request: web.Request, streams: Sequence[str]) -> str | None:
    """Return which one of `application/json` and `streams` the client wants most; `None` if it refuses them all.

    Among equals a stream that was named wins, in their order, else JSON. Who names none of them gets JSON.
    """
    wanted = accepted(request)
    ranks = {each: rank(wanted, each) for each in (JSON, *streams)}
    welcome = {each: found for each, found in ranks.items() if found and found.weight > 0}
    if not welcome:
        return JSON if ranks[JSON] is None else None
    top = max(welcome.values())
    equals = [each for each, found in welcome.items() if found == top]
    return next((each for each in equals if each != JSON), JSON) if top.exactness > 1 else equals[0]


def takes_gzip(request: web.Request) -> bool:
    """Tell whether the client takes a body that is compressed with gzip (RFC 9110, section 12.5.3)."""
    header = ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))
    weights = {member.value: member.weight for member in members(header)}
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0
