"""Decodes the responses of `/api/tags` and `/api/show`."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from app.backends.errors.masking import NO_SECRETS, Secrets
from app.backends.http.listed import usable
from app.backends.json_values import count_or_none, decode, listing, member, text_or_none, weight

MAX_DIGEST = 128  # characters; SHA-256 has 64
MAX_CAPABILITIES = 64
MAX_PARAMETERS = 64 * 1024  # characters
MAX_SHOWN = 512 * 1024  # bytes of the details of a model; the longest are licences and the names of tensors
MAX_SHOWN_WEIGHT = 2 * 1024 * 1024  # bytes that they may take when decoded, beside their texts


class Tag(NamedTuple):
    """One entry of the model list. An unknown digest is empty."""

    name: str
    digest: str


def read_tags(content: bytes, secrets: Secrets = NO_SECRETS) -> list[Tag]:
    """Return the entries of a list that have usable names. Raises `ValueError` if it is not a list."""
    return usable((tag for item in listing(decode(content)) if (tag := _tag(item)) is not None), secrets)


def _tag(item: Any) -> Tag | None:
    name = text_or_none(member(item, "name")) or text_or_none(member(item, "model"))
    return None if name is None else Tag(name, (text_or_none(member(item, "digest")) or "")[:MAX_DIGEST])


class Shown(NamedTuple):
    """The details of one model."""

    capabilities: list[str] | None  # `None` from older servers
    configured_context: int | None  # tokens, `num_ctx` of the modelfile
    trained_context: int | None  # tokens, the longest context in the model's training

    @property
    def chats(self) -> bool:
        """Whether the model supports chat; some only compute embeddings."""
        return self.capabilities is None or "completion" in self.capabilities

    @property
    def sees(self) -> bool | None:
        """Whether the model accepts images; `None` if the server does not report it."""
        return None if self.capabilities is None else "vision" in self.capabilities


def read_shown(content: bytes) -> Shown:
    """Return the details of a model. Raises `ValueError` if `content` is not JSON, or far larger than details are."""
    if len(content) > MAX_SHOWN or weight(content) > MAX_SHOWN_WEIGHT:
        raise ValueError("too large")
    value = decode(content)
    capabilities = member(value, "capabilities")
    return Shown(
        _words(capabilities) if isinstance(capabilities, list) else None,
        _configured((text_or_none(member(value, "parameters")) or "")[:MAX_PARAMETERS]),
        _trained(member(value, "model_info")),
    )


def _words(values: list[Any]) -> list[str]:
    return [value[:MAX_DIGEST] for value in values[:MAX_CAPABILITIES] if isinstance(value, str)]


def _configured(parameters: str) -> int | None:
    """Return `num_ctx` from the parameters of a modelfile, which have one "name  value" per line."""
    found = re.search(r"^num_ctx[ \t]+(\d{1,12})[ \t\r]*$", parameters, re.MULTILINE)
    return int(found[1]) if found else None


def _trained(info: Any) -> int | None:
    if not isinstance(info, dict):
        return None
    lengths = (count_or_none(value) for key, value in info.items() if key.endswith(".context_length"))
    return next((length for length in lengths if length), None)


def full_name(model: str) -> str:
    """Return the name with its tag: for Ollama `llama3.2` means `llama3.2:latest`."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"
