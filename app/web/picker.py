"""The models as the composer offers them: by backend, those that do not answer with the reason."""

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
