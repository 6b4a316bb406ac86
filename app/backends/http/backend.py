"""What the backends of HTTP servers have in common."""

from __future__ import annotations

from collections.abc import Mapping

from app.backends.decoding.room import Room
from app.backends.errors.mapper import ErrorMapper
from app.backends.http.address import Address
from app.backends.http.client import UpstreamClient
from app.backends.http.secrets import configured_secrets, without_secrets


class HttpBackend:
    """A server, its address and its client. `name` is the prefix of its models; `label` names it in messages."""

    def __init__(
        self, label: str, address: Address, *, name: str, api_key: str | None, headers: Mapping[str, str]
    ) -> None:
        base = address.base
        self.name = name
        self._address = address
        self._origin = without_secrets(base.origin() if base.host else base)
        self._room = Room()
        secrets = configured_secrets(base, api_key, headers)
        self._voice = ErrorMapper(
            f"{label} at {without_secrets(base)}", secrets=secrets.hidden, spoken=secrets.spoken
        )
        self._upstream = UpstreamClient(base, self._voice, api_key=api_key, headers=headers)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self._upstream!r}>"

    @property
    def origin(self) -> str:
        """See `RemoteBackend`."""
        return self._origin

    @property
    def open(self) -> int:
        """Number of open generations."""
        return self._upstream.open

    async def aclose(self) -> None:
        """See `Backend`."""
        await self._upstream.aclose()
