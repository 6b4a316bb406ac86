"""Finds the API of a model server from a configured or pasted URL."""

from __future__ import annotations

from collections.abc import Sequence

from yarl import URL


class Address:
    """The base URL of the API. For a URL without a path, the prefix is found by trying, and remembered.

    A path is kept: servers use `/v1`, `/api/v3`, `/inference`, `/openai/deployments/name`. So is a query: Azure
    requires its `?api-version=` in each request. `pasted` are the endings of URLs as documentation shows them; they are
    not part of the base. `prefixes` are the possible ones, the likeliest first.
    """

    def __init__(self, url: str, *, pasted: Sequence[str], prefixes: tuple[str, ...] = ("",)) -> None:
        given = URL(url.strip())
        parts = given.raw_path.rstrip("/")
        ending = next((ending for ending in pasted if parts.endswith(f"/{ending}")), "")
        path = parts.removesuffix(ending).rstrip("/")
        self.base = given.with_path(path or "/", encoded=True, keep_query=True, keep_fragment=False)
        self._possible = ("",) if path or ending else prefixes
        self.prefixes = self._possible  # the likeliest first; a single one once it is known

    def __repr__(self) -> str:
        return f"<Address prefixes={self.prefixes}>"

    def found(self, prefix: str) -> None:
        """Remember the prefix at which the API answered."""
        self.prefixes = (prefix,)

    def missed(self, prefix: str) -> None:
        """Forget the remembered prefix: the API no longer answers there."""
        if self.prefixes == (prefix,):
            self.prefixes = self._possible
