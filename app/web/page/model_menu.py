"""The models as the composer offers them: by backend, those that do not answer with the reason, and one is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.chat.ports import Model, ModelListing
from app.web.i18n.error_texts import said
from app.web.i18n.translations import Language

DEMO = "embedded"  # the backend of the model that comes along
MANY = 60  # models that a page offers; more are found by their names
MOST_MODELS = 100_000  # in one answer of the API
LONGEST_SEARCH = 200  # characters


class Group(NamedTuple):
    """One backend: its models, or why it has none."""

    backend: str
    models: list[Model]
    reason: str | None


class ModelMenu(NamedTuple):
    """What is offered, and the model that is chosen among it."""

    groups: list[Group]
    chosen: Model | None
    total: int  # models that there are
    search: str  # what was searched for
    found: int  # models that have it in their names

    @property
    def is_empty(self) -> bool:
        """Whether there is no model at all."""
        return self.total == 0

    @property
    def is_long(self) -> bool:
        """Whether there are more models than the page offers."""
        return self.total > MANY

    @property
    def cause(self) -> str | None:
        """Why there is no model: of what was configured on purpose before what is looked for anyway."""
        return next((group.reason for group in self.groups if group.reason), None)

    @property
    def is_demo(self) -> bool:
        """Whether the chosen model is the one that comes along, which is for a first try."""
        return self.chosen is not None and self.chosen.backend == DEMO

    @property
    def is_blind(self) -> bool:
        """Whether the chosen model is known to see no images, so that none are asked for."""
        return self.chosen is not None and is_blind(self.chosen)


def is_blind(model: Model) -> bool:
    """Tell whether a model is known to see no images. Where its server does not say, it may."""
    return model.vision is False


def model_menu(listing: ModelListing, language: Language, *wanted: str | None, search: str = "") -> ModelMenu:
    """Offer up to `MANY` models, those that are searched for if there are more.

    The first of the `wanted` ones that is there is chosen, else the default; of a search that does not have it, the
    first that is found.
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
    """Return the models whose names have all words of a search, in whatever case: the one of just that name first."""
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
    """Return `MANY` of the models, of each backend as many as of any other while it has them, in their order."""
    ranks: dict[str, int] = {}
    ranked: list[tuple[int, int]] = []
    for place, model in enumerate(models):
        rank = ranks[model.backend] = ranks.get(model.backend, -1) + 1
        ranked.append((rank, place))
    return [models[place] for place in sorted(place for _, place in sorted(ranked)[:MANY])]


def _groups(offered: Sequence[Model], listing: ModelListing, language: Language) -> list[Group]:
    """Return the backends in the order of the listing, those without an answer at the end."""
    found: dict[str, list[Model]] = {}
    for model in offered:
        found.setdefault(model.backend, []).append(model)
    answering = [Group(backend, models, None) for backend, models in found.items()]
    answering.extend(
        Group(silent.backend, [], said(language, silent.code, silent.message))
        for silent in listing.unreachable
    )
    return answering
