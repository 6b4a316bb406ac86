"""What comes back from `/api/tags` and `/api/show`."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from app.backends.json_values import count_or_none, decode, listing, member, text_or_none


class Tag(NamedTuple):
    """One model of the list."""

    name: str
    digest: str


def read_tags(content: bytes) -> list[Tag]:
    """Return the models of a list; an entry without a name is left out. Raises `ValueError` for what is no list."""
    return [tag for item in listing(decode(content)) if (tag := _tag(item)) is not None]


def _tag(item: Any) -> Tag | None:
    name = text_or_none(member(item, "name")) or text_or_none(member(item, "model"))
    return None if name is None else Tag(name, text_or_none(member(item, "digest")) or "")


class Shown(NamedTuple):
    """What Ollama says of one model."""

    capabilities: list[Any] | None  # older servers do not say
    configured_context: int | None  # tokens, `num_ctx` as the model's file sets it
    trained_context: int | None  # tokens, the longest context that the model was trained for

    @property
    def chats(self) -> bool:
        """Whether the model answers at all; some only compute embeddings."""
        return self.capabilities is None or "completion" in self.capabilities

    @property
    def sees(self) -> bool | None:
        """Whether the model takes images; `None` where the server does not say."""
        return None if self.capabilities is None else "vision" in self.capabilities


def read_shown(content: bytes) -> Shown:
    """Return what is told of a model. Raises `ValueError` for what is no JSON."""
    value = decode(content)
    capabilities = member(value, "capabilities")
    return Shown(
        capabilities if isinstance(capabilities, list) else None,
        _configured(text_or_none(member(value, "parameters")) or ""),
        _trained(member(value, "model_info")),
    )


def _configured(parameters: str) -> int | None:
    """Return `num_ctx` of a model's file: one "name  value" a line."""
    found = re.search(r"^num_ctx[ \t]+(\d{1,12})[ \t\r]*$", parameters, re.MULTILINE)
    return int(found[1]) if found else None


def _trained(info: Any) -> int | None:
    if not isinstance(info, dict):
        return None
    lengths = (count_or_none(value) for key, value in info.items() if key.endswith(".context_length"))
    return next((length for length in lengths if length), None)


def full_name(model: str) -> str:
    """Return the name with its tag: Ollama reads `llama3.2` as `llama3.2:latest`."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"
