"""Finds the API of an OpenAI-compatible server from a configured or pasted URL."""

from __future__ import annotations

from yarl import URL

CHAT = "chat/completions"
MODELS = "models"
PASTED = (CHAT, "completions", MODELS)  # endings of URLs as documentation shows them


class Address:
    """The base URL of the API. For a URL without a path, the prefix is found by trying, and remembered.

    A path is kept: servers use `/v1`, `/api/v3`, `/inference`, `/openai/deployments/name`. So is a query: Azure
    requires its `?api-version=` in each request.
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
        """The possible prefixes of API paths, the likeliest first; a single one once it is known."""
        return self._prefixes if self._found is None else (self._found,)

    def found(self, prefix: str) -> None:
        """Remember the prefix at which the API answered."""
        self._found = prefix

    def missed(self, prefix: str) -> None:
        """Forget the remembered prefix: the API no longer answers there."""
        if len(self._prefixes) > 1 and self._found == prefix:
            self._found = None
