"""Questions to one server of Redis, over a connection of their own."""

from __future__ import annotations

import asyncio

from app.log.shared.redis.address import Address
from app.log.shared.redis.wire import REDIRECTS, SERVER_ERRORS, Reply, Wire, auth, tls_context

CLUSTER_ERRORS = tuple(error for error in SERVER_ERRORS if error not in REDIRECTS)


async def connected(address: Address) -> Wire:
    """Connect, and sign in. Raises `OSError`, `Lost`, and `hiredis.ReplyError` if the server refuses the password."""
    errors = CLUSTER_ERRORS if address.in_cluster else SERVER_ERRORS
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(
        lambda: Wire(errors), address.host, address.port, ssl=tls_context(address.tls)
    )
    try:
        if address.password:
            await wire.ask(*auth(address.user, address.password))
        if address.database:
            await wire.ask("SELECT", address.database)
    except BaseException:
        wire.drop("the connection was not used")
        raise
    return wire


async def asked(address: Address, *commands: tuple[str, ...]) -> list[Reply]:
    """Ask a server. Raises as `connected` does, and `hiredis.ReplyError` if it refuses a command."""
    wire = await connected(address)
    try:
        return [await wire.ask(*words) for words in commands]
    finally:
        wire.drop("the server was asked")
