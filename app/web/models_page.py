"""The page that leads from the demo model to a real one: what is reachable now, and how to connect more."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from aiohttp import web

from app.streams.ports import Listing
from app.web import translations
from app.web.keys import CATALOG
from app.web.picker import DEMO
from app.web.rendering import render
from app.web.sentences import said
from app.web.translations import Language


class State(NamedTuple):
    """A backend: how many models it has now, or why it cannot be reached."""

    name: str
    models: int
    reason: str | None
    is_demo: bool


async def get_models_page(request: web.Request) -> web.StreamResponse:
    """GET /models?refresh=1: with `refresh` all backends are asked again first."""
    listing = await request.app[CATALOG].listing(refresh=request.query.get("refresh") == "1")
    return render(request, "models.html", {"backends": states(listing, translations.of(request))})


def states(listing: Listing, language: Language) -> list[State]:
    """Return all backends in their order, the demo model last: a real one is wanted."""
    counts = Counter(model.backend for model in listing.models)
    reasons = {silent.backend: said(language, silent.code, silent.message) for silent in listing.unreachable}
    found = [State(name, counts[name], reasons.get(name), name == DEMO) for name in listing.backends]
    return sorted(found, key=lambda state: state.is_demo)
