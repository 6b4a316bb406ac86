"""Hints between the nodes of a cluster, through Redis: short messages that may be lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import hiredis
import msgspec

from app.chat.errors import LogUnavailable
from app.chat.ports import Logger
from app.log.shared.redis.address import Address, Whereabouts, channel_of
from app.log.shared.redis.wire import auth, command, tls_context
from app.tasks.reports import report
from app.tasks.timeouts import within

CONNECT_SECONDS = 5.0
QUIET_SECONDS = 10.0  # after which the connection is tested; after twice that it is taken for dead
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # s, before the next attempt to connect
READ_BYTES = 64 * 1024
WORDS_BYTES = 4096  # of a hint; a longer one is not sent
Heard = Callable[..., None]

_pack = msgspec.msgpack.encode
_hint = msgspec.msgpack.Decoder(tuple[str, ...])


class RedisHints:
    """Sends hints over a connection that `publish` has, and hears those of the other nodes over one of its own."""

    def __init__(
        self, whereabouts: Whereabouts, *, node_id: str, logger: Logger, publish: Callable[[bytes], None]
    ) -> None:
        """`whereabouts` tells the server to hear; `publish` sends an encoded command, or drops it."""
        self._whereabouts = whereabouts
        self._node_id = node_id
        self._logger = logger
        self._publish = publish
        self._channel = channel_of(whereabouts.database)
        self._listeners: dict[str, list[Heard]] = {}
        self._pause = FIRST_PAUSE

    def __repr__(self) -> str:
        return f"<RedisHints {self._channel} {sorted(self._listeners)}>"

    def send(self, kind: str, *words: str) -> None:
        """Send a hint to all other nodes. Synchronous; never raises."""
        data = _pack((self._node_id, kind, *words))
        if len(data) <= WORDS_BYTES:
            self._publish(command("PUBLISH", self._channel, data))

    def listen(self, kind: str, heard: Heard) -> None:
        """Call `heard` with the words of each hint of this kind."""
        self._listeners.setdefault(kind, []).append(heard)

    @asynccontextmanager
    async def hearing(self) -> AsyncIterator[None]:
        """Hear the other nodes until the block ends."""
        task = asyncio.create_task(self._hear(), name="hints")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _hear(self) -> None:
        refusal = ""
        while True:
            try:
                address = await self._whereabouts.server()
                async with self._subscribed(address) as (reader, writer):
                    await self._read(reader, writer, address)
            except (OSError, TimeoutError, hiredis.HiredisError, EOFError, LogUnavailable) as error:
                reason = str(error) or type(error).__name__
                is_news = isinstance(error, hiredis.ReplyError) and reason != refusal
                if is_news:  # a refusal does not pass by itself; a broken connection is made again
                    refusal = reason
                log = self._logger.warning if is_news else self._logger.debug
                log("hints_lost", reason=reason)
            except Exception as error:  # noqa: BLE001 - it is reported, and tried again: hints must not end
                report("hints could not be heard", error)
            pause = random.uniform(self._pause / 2, self._pause)  # noqa: S311 - so that nodes do not come in step
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def _subscribed(
        self, address: Address
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await within(
            CONNECT_SECONDS, asyncio.open_connection(address.host, address.port, ssl=tls_context(address.tls))
        )
        try:
            if address.password:
                writer.write(command(*auth(address.user, address.password)))
            writer.write(command("INFO", "replication"))
            writer.write(command("SUBSCRIBE", self._channel))
            yield reader, writer
        finally:
            writer.transport.abort()

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: Address
    ) -> None:
        replies, quiet = hiredis.Reader(), False
        while True:
            try:
                data = await within(QUIET_SECONDS, reader.read(READ_BYTES))
            except TimeoutError:
                if quiet or await self._has_successor(address):
                    raise
                quiet = True
                writer.write(command("PING"))
                continue
            if not data:
                raise EOFError
            quiet = False
            replies.feed(data)
            for message in list(self._messages(replies, address)):  # all replies are looked at first
                self._take(message)

    def _messages(self, replies: hiredis.Reader, address: Address) -> Iterator[bytes]:
        """Yield the hints among the replies. Raises what the others say against going on."""
        while (reply := replies.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                raise reply
            if isinstance(reply, bytes) and b"role:slave" in reply:
                raise LogUnavailable(f"Redis at {address} is a replica")
            match reply:
                case [b"subscribe", *_]:
                    self._pause = FIRST_PAUSE  # not earlier: a server may take connections and refuse this
                case [b"message", _, message]:
                    yield message

    async def _has_successor(self, address: Address) -> bool:
        """Whether another server is the primary now. While nobody knows, the one that is heard will do."""
        try:
            return await self._whereabouts.server() != address
        except LogUnavailable:
            return False

    def _take(self, message: bytes) -> None:
        try:
            sender, kind, *words = _hint.decode(message)
        except (msgspec.DecodeError, ValueError):
            return  # of another version, or of somebody else
        if sender == self._node_id:
            return
        for heard in self._listeners.get(kind, ()):
            try:
                heard(*words)
            except Exception as error:  # noqa: BLE001 - it is reported; the other hints have their own listeners
                report("a hint could not be taken", error)
