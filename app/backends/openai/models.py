"""What comes back from `/v1/models`."""

from __future__ import annotations

from typing import Any, NamedTuple

from app.backends.json_values import count_or_none, decode, listing, member, text_or_none


class ListedModel(NamedTuple):
    """One model of the list."""

    name: str
    owner: str  # `owned_by`, empty where the server does not say
    context: int | None  # tokens, where the server says


def read_models(content: bytes) -> list[ListedModel]:
    """Return the models of a list: in whichever form. An entry without a name is left out.

    Raises `ValueError` for what is no list of models.
    """
    entries = map(_entry, listing(decode(content)))
    return [entry for entry in entries if entry is not None]


def _entry(item: Any) -> ListedModel | None:
    if isinstance(item, str):
        return ListedModel(item, "", None) if item else None
    name = text_or_none(member(item, "id")) or text_or_none(member(item, "name"))
    if name is None:
        return None
    return ListedModel(name, text_or_none(member(item, "owned_by")) or "", _context(item))


def _context(item: dict[str, Any]) -> int | None:
    said = (
        item.get("max_model_len"),  # vLLM
        member(item.get("meta"), "n_ctx"),  # llama.cpp, per slot
    )
    return next((length for length in map(count_or_none, said) if length), None)
