"""The model server of a cluster under test: it counts, so that a token that is lost or repeated shows in any text."""

from __future__ import annotations

from typing import Any

from tests.doubles.openai import OpenAIDouble

MODEL = "openai/double"  # its name for clients


class CountingModel(OpenAIDouble):
    """Answers with " 0 1 2 3 …", and continues an answer where it broke off, as llama.cpp does.

    A prompt says how much and how fast: `session=s1 fault=none tokens=40 pace=0.02`.
    """

    models: tuple[dict[str, Any], ...] = (
        {"id": "double", "object": "model", "created": 1, "owned_by": "llamacpp", "meta": {"n_ctx": 8192}},
    )

    def word(self, index: int) -> str:
        return f" {index}"

    def begun(self, body: dict[str, Any]) -> int:
        last = body["messages"][-1]
        return len(str(last["content"]).split()) if last["role"] == "assistant" else 0


def counted(text: str) -> int | None:
    """Return how many tokens a text of the model has; `None` if one is missing, repeated or out of its place."""
    words = text.split()
    return len(words) if text == "".join(f" {index}" for index in range(len(words))) else None
