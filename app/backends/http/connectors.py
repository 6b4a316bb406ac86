"""How connections to a model server are made: over TCP, or through a Unix socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import AddrInfoType, Connection

from app.backends.http.connection import UpstreamConnection

# Callback for the connection that is being made in this task. See `_Telling`.
on_connection: ContextVar[Callable[[UpstreamConnection], None] | None] = ContextVar(
    "on_connection", default=None
)


class _Telling(aiohttp.BaseConnector):
    """Makes `UpstreamConnection`s, and passes each new one to the `on_connection` callback.

    aiohttp exposes the connection only with the response, which is too late for a stop before the headers, and
    removes it when a short response is complete.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # There is no public parameter for it.
        self._factory = cast("partial[ResponseHandler]", partial(UpstreamConnection, loop=self._loop))

    async def connect(self, *args: Any, **kwargs: Any) -> Connection:
        """Make a connection and pass it to the `on_connection` callback of the current context, if set."""
        connection = await super().connect(*args, **kwargs)
        tell = on_connection.get()
        if tell is not None and isinstance(connection.protocol, UpstreamConnection):
            tell(connection.protocol)
        return connection


class UnixConnector(_Telling, aiohttp.UnixConnector):
    """Connects to a Unix socket, whatever the host in the URL."""


class TcpConnector(_Telling, aiohttp.TCPConnector):
    """Connects to the host in the URL."""

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: list[AddrInfoType],
        req: ClientRequest,
        client_error: type[Exception] = aiohttp.ClientConnectorError,
        **kwargs: Any,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Connect to the only address of a server without TLS at once.

        aiohttp tries several addresses with sockets of its own, for which uvloop asks a thread to resolve an address
        that is resolved already: a third of the cost of a connection. If aiohttp renames this, it only costs more.
        """
        if len(addr_infos) > 1 or kwargs.get("ssl") is not None or addr_infos[0][0] != socket.AF_INET:
            kwargs |= {"addr_infos": addr_infos, "req": req, "client_error": client_error}
            return await super()._wrap_create_connection(*args, **kwargs)
        factory: Callable[[], ResponseHandler] = args[0]
        host, port = addr_infos[0][4][:2]
        try:
            return await self._loop.create_connection(factory, str(host), int(port))
        except OSError as error:
            raise client_error(req.connection_key, error) from error
