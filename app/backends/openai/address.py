"""Where the API of an OpenAI-compatible server is, from the URL that somebody configured or pasted."""

from __future__ import annotations

from yarl import URL

CHAT = "chat/completions"
MODELS = "models"
PASTED = (CHAT, "completions", MODELS)  # endings of addresses as documentation shows them


class Address:
    """The base of the API's paths. Of a bare host it is found out by trying, and remembered.

    A URL with a path is used as it is: servers have `/v1`, `/api/v3`, `/inference`, `/openai/deployments/name`. A query
    stays: Azure wants its `?api-version=` with each request.
    """

    def __init__(self, url: str) -> None:
        given = URL(url)
        parts = given.raw_path.rstrip("/")
        pasted = next((ending for ending in PASTED if parts.endswith(f"/{ending}")), "")
        path = parts[: len(parts) - len(pasted)].rstrip("/")
        self.base = given.with_path(path or "/", encoded=True, keep_query=True, keep_fragment=False)
        self._prefixes = ("",) if path or pasted else ("v1/", "")
        self._found: str | None = self._prefixes[0] if len(self._prefixes) == 1 else None

    def __repr__(self) -> str:
        return f"<Address prefixes={self.prefixes}>"

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What may stand before a path of the API, the likeliest first; only one once that is known."""
        return self._prefixes if self._found is None else (self._found,)

    def found(self, prefix: str) -> None:
        """Remember that the API answered there."""
        self._found = prefix

    def missed(self, prefix: str) -> None:
        """Take back what was remembered: the API does not answer there any more."""
        if len(self._prefixes) > 1 and self._found == prefix:
            self._found = None
