"""The connection of a node to Redis: it is made again, with pauses that grow, for as long as the node lives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Protocol

import hiredis

from app.chat.errors import LogUnavailable
from app.chat.ports import Logger
from app.log.shared.redis.address import Address, Whereabouts, channel_of
from app.log.shared.redis.asking import connected
from app.log.shared.redis.errors import Lost, UnfitRedis
from app.log.shared.redis.wire import REDIRECTS, OnReply, Reply, Source, Wire, command
from app.measures import QUICK, Histogram
from app.tasks.timeouts import within

CONNECT_SECONDS = 5.0  # for the connection and what is asked before it is used
FIRST_PAUSE = 0.05  # s before the second attempt to connect again; it doubles from there on
LONGEST_PAUSE = 2.0  # s
ANSWER_SECONDS = 3.0  # for a reply that somebody waits for
EVICTS_NOT = "noeviction"
PROBE_SECONDS = 60  # that what is written at each new connection is kept
PING_SECONDS = 5.0  # between two measurements of the round trip
# What a user is told while there is no connection.
SENTENCE = "The log that this server's nodes share does not respond. Try again in a moment."


class Sender(Protocol):
    """Where a log sends its commands: a link, or a way of using one."""

    @property
    def home(self) -> Link:
        """The link that carries them."""
        ...

    def wants(self, source: Source) -> None:
        """See `Wire`."""
        ...

    def send(self, encoded: bytes, on_reply: OnReply) -> None:
        """See `Link`."""
        ...

    async def ask(self, *words: str | bytes | int) -> Reply:
        """See `Link`."""
        ...


class Link:
    """Holds one `Wire` to Redis, if there is one. `up` is called with each new one, `down` with why it was lost."""

    def __init__(
        self, whereabouts: Whereabouts, *, logger: Logger, up: Callable[[], None], down: Callable[[str], None]
    ) -> None:
        self.trouble = "not connected yet"  # why there is no connection; "" if there is one
        self.connections = 0  # so far
        self.down_since: float | None = None  # loop time at which the connection was lost, or refused
        self.is_new = True  # no connection was made or refused so far
        self.round_trips = Histogram(QUICK)  # s, of a command that waits for no other
        self._whereabouts = whereabouts
        self._server: Address | None = None  # that it is connected to, or was last
        self._logger = logger
        self._up = up
        self._down = down
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Link {self._whereabouts} {self.trouble or 'up'}>"

    @property
    def home(self) -> Link:
        """See `Sender`."""
        return self

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
            raise LogUnavailable(SENTENCE)
        reply = self._wire.ask(*words)
        try:
            await asyncio.wait([reply], timeout=ANSWER_SECONDS)
            if reply.done():
                return reply.result()
            raise LogUnavailable(SENTENCE)
        except Lost as error:
            raise LogUnavailable(SENTENCE) from error
        finally:
            reply.cancel()

    # ---- the connection --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect. Raises `UnfitRedis` with a sentence if that is impossible, or if Redis is set up wrong."""
        try:
            wire = await self._connect()
        except LogUnavailable as error:
            raise UnfitRedis(f"cannot use Redis at {self._whereabouts}: {error}") from error
        self._begin(wire)
        self._keep(wire)

    async def try_to_start(self) -> None:
        """Connect; if Redis is away, go on trying in the background. Raises `UnfitRedis` if it is set up wrong."""
        wire = None
        try:
            wire = await self._connect()
        except LogUnavailable as error:
            self._refused(error)
        if wire is not None:
            self._begin(wire)
        self._keep(wire)

    def start_soon(self) -> None:
        """Connect in the background."""
        self._keep(None)

    def _keep(self, wire: Wire | None) -> None:
        self._task = self._loop.create_task(self._hold(wire), name="connection to Redis")
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Disconnect for good. Idempotent."""
        self.is_new = False
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

    async def _watched(self, wire: Wire) -> str:
        """Measure the round trip now and then; return why the connection was lost."""
        while True:
            self._measure(wire)
            await asyncio.wait({wire.lost}, timeout=PING_SECONDS)
            if not wire.lost.done():
                await self._leave_unless_primary(wire)
            if wire.lost.done():
                return wire.lost.result()

    async def _leave_unless_primary(self, wire: Wire) -> None:
        """Drop a server that has a successor. It may not know yet, if it is cut off from who appointed that."""
        asking = self._loop.create_task(self._whereabouts.server(), name="look for the primary")
        either: set[asyncio.Future[Any]] = {asking, wire.lost}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if asking.done() and asking.exception() is None and str(asking.result()) != str(self._server):
                wire.drop(f"{asking.result()} is the primary now")
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def _measure(self, wire: Wire) -> None:
        began = self._loop.time()

        def replied(reply: Reply) -> None:
            if not isinstance(reply, Exception):
                self.round_trips.observe(self._loop.time() - began)

        wire.send(command("PING"), replied)

    async def _hold(self, wire: Wire | None) -> None:
        while True:
            if wire is not None:
                reason = await self._watched(wire)
                self._finish(reason)
                self._logger.warning("redis_lost", address=str(self._server), reason=reason)
            wire = await self._connect_again()
            self._logger.info("redis_back", address=str(self._server))
            self._begin(wire)

    def _begin(self, wire: Wire) -> None:
        self._wire = wire
        self.is_new = False
        self.down_since = None
        self.trouble = ""
        self.connections += 1
        self._up()

    def _finish(self, reason: str) -> None:
        self._wire = None
        self.down_since = self._loop.time()
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
                self._refused(error)

    def _refused(self, error: Exception) -> None:
        self.is_new = False
        self.down_since = self.down_since or self._loop.time()
        if str(error) != self.trouble:
            self._logger.warning("redis_unreachable", address=str(self._whereabouts), reason=str(error))
        self.trouble = str(error)

    async def _connect(self) -> Wire:
        """Raises `LogUnavailable` or `UnfitRedis`."""
        address = await self._whereabouts.server()
        try:
            return await within(CONNECT_SECONDS, self._dial(address))
        except TimeoutError as error:
            raise LogUnavailable(f"no connection within {CONNECT_SECONDS:g} s") from error
        except (OSError, Lost, hiredis.ReplyError) as error:
            raise LogUnavailable(str(error) or type(error).__name__) from error

    async def _dial(self, address: Address) -> Wire:
        try:
            wire = await connected(address)
        except hiredis.ReplyError as error:
            raise UnfitRedis(
                f"Redis at {address} refuses this node: {error}. Check the password and the database."
            ) from error
        try:
            _check(await wire.ask("INFO"), address)
            if address.probe_key is not None:
                await _probe(wire, address.probe_key)
            # A hint of nothing: a user of Redis may write all keys, and yet no channel, which is its default.
            await wire.ask("PUBLISH", channel_of(address.database), b"")
        except BaseException:
            wire.drop("the connection was not used")
            raise
        self._server = address
        return wire


async def _probe(wire: Wire, key: str) -> None:
    """A Redis with a full disk or memory answers, and refuses this as it would refuse entries."""
    try:
        await wire.ask("SET", key, 1, "EX", PROBE_SECONDS)
    except hiredis.ReplyError as error:
        if not str(error).startswith(
            REDIRECTS
        ):  # the slot of this key is being moved: nothing is wrong with that
            raise


def _check(info: Reply, address: Address) -> None:
    """Check what Redis says about itself. Raises `UnfitRedis`, or `LogUnavailable` for what may pass."""
    lines = info.decode(errors="replace").splitlines() if isinstance(info, bytes) else []
    said = dict(line.split(":", 1) for line in lines if ":" in line)
    if said.get("loading") == "1":
        raise LogUnavailable("Redis loads its data")
    if said.get("role") == "slave":
        raise LogUnavailable(f"Redis at {address} is a replica, and only a primary can be written to")
    is_cluster = "cluster" in (said.get("redis_mode"), said.get("server_mode"))
    if is_cluster != address.in_cluster:
        scheme = "rediss" if address.tls else "redis"
        if is_cluster:
            raise UnfitRedis(
                f"Redis at {address} is part of a Redis Cluster. Write {scheme}+cluster://… for it."
            )
        raise UnfitRedis(f"Redis at {address} is part of no Redis Cluster. Write {scheme}://… for it.")
    policy = said.get("maxmemory_policy", EVICTS_NOT)
    if policy != EVICTS_NOT:
        raise UnfitRedis(
            f"Redis at {address} may throw away the logs of running answers: its maxmemory-policy is {policy}. "
            f"Set it to {EVICTS_NOT}."
        )
