"""What a connection was let in for: when that access ends, what the client has not taken yet is not sent any more."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import web

from app.web.grants import Grant


class Withdrawable(Protocol):
    """A connection."""

    def withdraw(self, request: web.BaseRequest, transport: asyncio.Transport) -> None:
        """The access that let `request` in has ended: cut it, unless its response has been sent. Synchronous."""


class Admission:
    """The access of the requests on a connection whose responses may not have been sent. See `Cuttable`.

    Nearly always that is one: a proxy sends requests of many owners on one connection, but one after the other.
    """

    __slots__ = ("_connection", "_grants", "_request", "_transport")

    def __init__(self, connection: Withdrawable) -> None:
        self._connection = connection
        self._grants: set[Grant] = set()
        self._request: web.BaseRequest | None = None
        self._transport: asyncio.Transport | None = None

    def enter(self, grant: Grant, request: web.BaseRequest, transport: asyncio.Transport) -> None:
        """A request was let in. What was let in before it is forgotten if its response has been sent."""
        if self._grants and not transport.get_write_buffer_size():
            self.leave()
        self._grants.add(grant)
        self._request = request
        self._transport = transport  # the connection forgets its own once it is to be closed
        grant.hold(self)

    def leave(self) -> None:
        """The connection is closed, or all responses on it have been sent. Idempotent."""
        for grant in self._grants:
            grant.release(self)
        self._grants.clear()
        self._request = self._transport = None

    def cut(self) -> None:
        """See `Cuttable`."""
        if self._request is not None and self._transport is not None:
            self._connection.withdraw(self._request, self._transport)
