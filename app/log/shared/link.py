"""The connection of a node to Redis: it is made again, with pauses that grow, for as long as the node lives."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable

import hiredis

from app.chat.ports import Logger
from app.log.shared.address import Address
from app.log.shared.errors import LogUnavailable, Lost, UnfitRedis
from app.log.shared.wire import OnReply, Reply, Source, Wire
from app.tasks.timeouts import within

CONNECT_SECONDS = 5.0  # for the connection and what is asked before it is used
FIRST_PAUSE = 0.05  # s before the second attempt to connect again; it doubles from there on
LONGEST_PAUSE = 2.0  # s
ANSWER_SECONDS = 3.0  # for a reply that somebody waits for
EVICTS_NOT = "noeviction"


class Link:
    """Holds one `Wire` to Redis, if there is one. `up` is called with each new one, `down` with why it was lost."""

    def __init__(
        self, address: Address, *, logger: Logger, up: Callable[[], None], down: Callable[[str], None]
    ) -> None:
        self.trouble = "not connected yet"  # why there is no connection; "" if there is one
        self.connections = 0  # so far
        self._address = address
        self._logger = logger
        self._up = up
        self._down = down
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Link {self._address} {self.trouble or 'up'}>"

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._wire is not None

    # ---- what is sent ----------------------------------------------------------------------------------------

    def wants(self, source: Source) -> None:
        """See `Wire`. Without effect while there is no connection. Hot path."""
        if self._wire is not None:
            self._wire.wants(source)

    def send(self, encoded: bytes, on_reply: OnReply) -> None:
        """See `Wire`. While there is no connection the reply is `Lost`, in the next turn of the loop."""
        if self._wire is not None:
            self._wire.send(encoded, on_reply)
        else:
            self._loop.call_soon(on_reply, Lost(self.trouble))

    async def ask(self, *words: str | bytes | int) -> Reply:
        """Send a command and return its reply within `ANSWER_SECONDS`.

        Raises `LogUnavailable`, or `hiredis.ReplyError` if Redis refuses this command.
        """
        if self._wire is None:
            raise LogUnavailable(self._sentence())
        reply = self._wire.ask(*words)
        try:
            await asyncio.wait([reply], timeout=ANSWER_SECONDS)
            if reply.done():
                return reply.result()
            raise LogUnavailable(self._sentence())
        except Lost as error:
            raise LogUnavailable(self._sentence()) from error
        finally:
            reply.cancel()

    def _sentence(self) -> str:
        return "The log that this server's nodes share does not respond. Try again in a moment."

    # ---- the connection --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect. Raises `UnfitRedis` with a sentence if that is impossible, or if Redis is set up wrong."""
        try:
            wire = await self._connect()
        except LogUnavailable as error:
            raise UnfitRedis(f"cannot use Redis at {self._address}: {error}") from error
        self._begin(wire)
        self._task = self._loop.create_task(self._hold(wire), name="connection to Redis")
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Disconnect for good. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=CONNECT_SECONDS)
        if self._wire is not None:
            self._wire.drop("this node ends")
            self._finish("this node ends")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logger.error("redis_connection_crashed", exc_info=error)

    async def _hold(self, wire: Wire) -> None:
        while True:
            reason = await wire.lost
            self._finish(reason)
            self._logger.warning("redis_lost", address=str(self._address), reason=reason)
            wire = await self._connect_again()
            self._logger.info("redis_back", address=str(self._address))
            self._begin(wire)

    def _begin(self, wire: Wire) -> None:
        self._wire = wire
        self.trouble = ""
        self.connections += 1
        self._up()

    def _finish(self, reason: str) -> None:
        self._wire = None
        self.trouble = reason
        self._down(reason)

    async def _connect_again(self) -> Wire:
        pause = FIRST_PAUSE
        while True:
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - so that nodes do not come in step
            pause = min(LONGEST_PAUSE, 2 * pause)
            try:
                return await self._connect()
            except (LogUnavailable, UnfitRedis) as error:
                if str(error) != self.trouble:
                    self._logger.warning("redis_unreachable", address=str(self._address), reason=str(error))
                self.trouble = str(error)

    async def _connect(self) -> Wire:
        """Raises `LogUnavailable` or `UnfitRedis`."""
        try:
            return await within(CONNECT_SECONDS, self._dial())
        except TimeoutError as error:
            raise LogUnavailable(f"no connection within {CONNECT_SECONDS:g} s") from error
        except (OSError, Lost, hiredis.ReplyError) as error:
            raise LogUnavailable(str(error) or type(error).__name__) from error

    async def _dial(self) -> Wire:
        address = self._address
        context = ssl.create_default_context() if address.tls else None
        _, wire = await self._loop.create_connection(Wire, address.host, address.port, ssl=context)
        try:
            await self._enter(wire)
            _check(await wire.ask("INFO"), str(address))
        except BaseException:
            wire.drop("the connection was not used")
            raise
        return wire

    async def _enter(self, wire: Wire) -> None:
        address = self._address
        try:
            if address.password:
                await wire.ask("AUTH", *([address.user] if address.user else []), address.password)
            if address.database:
                await wire.ask("SELECT", address.database)
        except hiredis.ReplyError as error:
            raise UnfitRedis(
                f"Redis at {address} refuses this node: {error}. Check the password and the database."
            ) from error


def _check(info: Reply, address: str) -> None:
    """Check what Redis says about itself. Raises `UnfitRedis`, or `LogUnavailable` for what may pass."""
    lines = info.decode(errors="replace").splitlines() if isinstance(info, bytes) else []
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    if said.get("loading") == "1":
        raise LogUnavailable("Redis loads its data")
    if said.get("role") == "slave":
        raise LogUnavailable("this Redis is a replica, and only a primary can be written to")
    if said.get("redis_mode") == "cluster" or said.get("server_mode") == "cluster":
        raise UnfitRedis(f"Redis at {address} is a Redis Cluster. Use a primary without cluster mode.")
    policy = said.get("maxmemory_policy", EVICTS_NOT)
    if policy != EVICTS_NOT:
        raise UnfitRedis(
            f"Redis at {address} may throw away the logs of running answers: its maxmemory-policy is {policy}. "
            f"Set it to {EVICTS_NOT}."
        )
