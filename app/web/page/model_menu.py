"""The composer's model menu: models grouped by backend, unreachable backends with the reason, one model selected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.chat.ports import Model, ModelListing
from app.web.i18n.error_texts import said
from app.web.i18n.translations import Language

DEMO = "embedded"  # the backend of the bundled model
MANY = 60  # models that a page lists; the others are found by search
MOST_MODELS = 100_000  # in one API response
LONGEST_SEARCH = 200  # characters


class Group(NamedTuple):
    """One backend: its models, or the reason why it is unreachable."""

    backend: str
    models: list[Model]
    reason: str | None
    origin: str | None = None  # of the server that prompts go to


class ModelMenu(NamedTuple):
    """The models to list, and the selected one."""

    groups: list[Group]
    chosen: Model | None
    total: int  # the number of all models
    search: str  # the search text
    found: int  # the number of models that match it

    @property
    def is_empty(self) -> bool:
        """Whether there are no models."""
        return self.total == 0

    @property
    def is_long(self) -> bool:
        """Whether there are more models than a page lists."""
        return self.total > MANY

    @property
    def cause(self) -> str | None:
        """Why there are no models: the first reason, where configured backends precede auto-detected ones."""
        return next((group.reason for group in self.groups if group.reason), None)

    @property
    def is_demo(self) -> bool:
        """Whether the selected model is the bundled one, which is only meant for a first try."""
        return self.chosen is not None and self.chosen.backend == DEMO

    @property
    def is_blind(self) -> bool:
        """Whether the selected model is known not to support images, so that the composer offers no upload."""
        return self.chosen is not None and is_blind(self.chosen)


def is_blind(model: Model) -> bool:
    """Return whether a model is known not to support images. If its server does not say, it may."""
    return model.vision is False


def model_menu(listing: ModelListing, language: Language, *wanted: str | None, search: str = "") -> ModelMenu:
    """Return a menu of up to `MANY` models that match `search`, plus the selected one.

    The first of `wanted` that exists is selected, else the default. If a search does not match that model, the
    search's first result is selected.
    """
    found = matching(listing.models, search)
    models = {model.model_id: model for model in listing.models}
    chosen = next((models[each] for each in (*wanted, listing.default) if each in models), None)
    if search and found and chosen not in found:
        chosen = found[0]
    offered = found if len(found) <= MANY else _some(found)
    if chosen is not None and chosen not in offered:
        offered = [*offered, chosen]
    return ModelMenu(
        _groups(offered, listing, language), chosen, len(listing.models), search.strip(), len(found)
    )


def matching(models: Sequence[Model], search: str) -> list[Model]:
    """Return the models whose names contain all words of a search, ignoring case; an exact match comes first."""
    wanted = search[:LONGEST_SEARCH].strip().casefold()
    words = wanted.split()
    if not words:
        return list(models)
    found = [
        (name, model)
        for model in models
        if all(word in (name := model.model_id.casefold()) for word in words)
    ]
    found.sort(key=lambda each: each[0] != wanted)
    return [model for _, model in found]


def _some(models: Sequence[Model]) -> list[Model]:
    """Return `MANY` of the models in their order, spread evenly over the backends."""
    ranks: dict[str, int] = {}
    ranked: list[tuple[int, int]] = []
    for place, model in enumerate(models):
        rank = ranks[model.backend] = ranks.get(model.backend, -1) + 1
        ranked.append((rank, place))
    return [models[place] for place in sorted(place for _, place in sorted(ranked)[:MANY])]


def _groups(offered: Sequence[Model], listing: ModelListing, language: Language) -> list[Group]:
    """Return the backends in the order of the listing, unreachable ones last."""
    found: dict[str, list[Model]] = {}
    for model in offered:
        found.setdefault(model.backend, []).append(model)
    origins = listing.origins
    answering = [Group(backend, models, None, origins.get(backend)) for backend, models in found.items()]
    answering.extend(
        Group(silent.backend, [], said(language, silent.code, silent.message), origins.get(silent.backend))
        for silent in listing.unreachable
    )
    return answering
