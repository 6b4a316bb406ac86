"""Decodes the response of `/v1/models`."""

from __future__ import annotations

from typing import Any, NamedTuple

from app.backends.errors.masking import NO_SECRETS, Secrets
from app.backends.http.listed import usable
from app.backends.json_values import count_or_none, decode, listing, member, text_or_none

MAX_OWNER = 64  # characters


class ListedModel(NamedTuple):
    """One entry of the model list."""

    name: str
    owner: str  # `owned_by`, empty if the server does not report it
    context: int | None  # tokens, `None` if the server does not report it


def read_models(content: bytes, secrets: Secrets = NO_SECRETS) -> list[ListedModel]:
    """Return the entries of a list in any known form that have usable names.

    Raises `ValueError` if it is not a list of models.
    """
    entries = map(_entry, listing(decode(content)))
    return usable((entry for entry in entries if entry is not None), secrets)


def _entry(item: Any) -> ListedModel | None:
    if isinstance(item, str):
        return ListedModel(item, "", None) if item else None
    name = text_or_none(member(item, "id")) or text_or_none(member(item, "name"))
    if name is None:
        return None
    return ListedModel(name, (text_or_none(member(item, "owned_by")) or "")[:MAX_OWNER], _context(item))


def _context(item: dict[str, Any]) -> int | None:
    said = (
        item.get("max_model_len"),  # vLLM
        member(item.get("meta"), "n_ctx"),  # llama.cpp, per slot
    )
    return next((length for length in map(count_or_none, said) if length), None)
