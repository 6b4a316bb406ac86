"""The models page: which backends are reachable, and how to connect others than the demo model."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from aiohttp import web

from app.chat.ports import ModelListing
from app.web.app_keys import CATALOG
from app.web.i18n import translations
from app.web.i18n.error_texts import said
from app.web.i18n.translations import Language
from app.web.page.model_menu import DEMO
from app.web.page.templates import render


class State(NamedTuple):
    """A backend: the number of its models, or the reason why it is unreachable."""

    name: str
    models: int
    reason: str | None
    is_demo: bool
    origin: str | None  # of the server that prompts go to


async def get_models_page(request: web.Request) -> web.StreamResponse:
    """GET /models?refresh=1: with `refresh`, all backends are queried again first."""
    listing = await request.app[CATALOG].listing(refresh=request.query.get("refresh") == "1")
    return render(request, "models.html", {"backends": states(listing, translations.of(request))})


def states(listing: ModelListing, language: Language) -> list[State]:
    """Return all backends in their order, the demo model last: real backends matter more."""
    counts = Counter(model.backend for model in listing.models)
    reasons = {silent.backend: said(language, silent.code, silent.message) for silent in listing.unreachable}
    found = [
        State(name, counts[name], reasons.get(name), name == DEMO, listing.origins.get(name))
        for name in listing.backends
    ]
    return sorted(found, key=lambda state: state.is_demo)
