"""The models as the composer offers them: by backend, those that do not answer with the reason, and one is chosen."""

from __future__ import annotations

from typing import NamedTuple

from app.streams.ports import Listing, Model
from app.web.sentences import said
from app.web.translations import Language


class Group(NamedTuple):
    """One backend: its models, or why it has none."""

    backend: str
    models: list[Model]
    reason: str | None


class Picker(NamedTuple):
    """What is offered, and the model that is chosen among it."""

    groups: list[Group]
    chosen: Model | None

    @property
    def is_empty(self) -> bool:
        """Whether there is no model at all."""
        return not any(group.models for group in self.groups)

    @property
    def is_blind(self) -> bool:
        """Whether the chosen model is known to see no images, so that none are asked for."""
        return self.chosen is not None and is_blind(self.chosen)


def is_blind(model: Model) -> bool:
    """Tell whether a model is known to see no images. Where its server does not say, it may."""
    return model.vision is False


def picker(listing: Listing, language: Language, *wanted: str | None) -> Picker:
    """Offer the models; the first of the `wanted` ones that is there is chosen, else the default."""
    models = {model.model_id: model for model in listing.models}
    chosen = (models[each] for each in (*wanted, listing.default) if each in models)
    return Picker(groups(listing, language), next(chosen, None))


def groups(listing: Listing, language: Language) -> list[Group]:
    """Return the backends in the order of the listing, those without an answer at the end."""
    found: dict[str, list[Model]] = {}
    for model in listing.models:
        found.setdefault(model.backend, []).append(model)
    answering = [Group(backend, models, None) for backend, models in found.items()]
    answering.extend(
        Group(silent.backend, [], said(language, silent.code, silent.message))
        for silent in listing.unreachable
    )
    return answering
