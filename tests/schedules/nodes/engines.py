"""PostgreSQL and Redis as the nodes see them: each statement is atomic, and its way there and back is a step."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import hiredis

from app.chat.errors import LogUnavailable
from app.log.shared.records import MARKER, Place
from app.log.shared.redis.address import Address
from app.log.shared.redis.errors import Lost
from app.log.shared.redis.link import Link
from app.log.shared.redis.wire import OnReply, Source, command
from tests.schedules.upstream import Step

T = TypeVar("T")
SMALLER = "ERR The ID specified in XADD is equal or smaller than the target stream top item"


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it suspends")


class Statements:
    """The statements of one node: each is executed in one step, and answered in another."""

    def __init__(self, name: str) -> None:
        self.dead = False
        self._name = name
        self._waiting: list[tuple[str, Callable[[], Any], asyncio.Future[Any]]] = []
        self._done: list[tuple[str, Any, asyncio.Future[Any]]] = []

    def ask(self, label: str, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Send a statement."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((label, work, future))
        return future

    def has_done(self, label: str) -> bool:
        """Whether such a statement was executed, and its answer is on its way."""
        return any(done[0] == label for done in self._done)

    def steps(self) -> Iterator[Step]:
        """What the database can do now: execute any statement, answer any."""
        if self.dead:
            return
        for entry in self._waiting:
            yield Step(f"{self._name}: {entry[0]}", lambda entry=entry: self._execute(entry))  # type: ignore[misc]
        for done in self._done:
            yield Step(f"{self._name} hears of {done[0]}", lambda done=done: self._answer(done))  # type: ignore[misc]

    def _execute(self, entry: tuple[str, Callable[[], Any], asyncio.Future[Any]]) -> None:
        self._waiting.remove(entry)
        label, work, future = entry
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            result = error
        self._done.append((label, result, future))

    def _answer(self, done: tuple[str, Any, asyncio.Future[Any]]) -> None:
        self._done.remove(done)
        _, result, future = done
        if future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


class Redis:
    """Streams, as Redis keeps them.

    `told` gets every entry that is accepted, with the newest epoch before it, and who sent it.
    """

    refuses = True  # ids that are not greater than all before

    def __init__(self, told: Callable[[Place, bytes, int, str], None]) -> None:
        self.sender = ""  # the node whose command it executes
        self.counter = 0  # for who would mint numbers here
        self._told = told
        self._streams: dict[bytes, list[tuple[Place, list[bytes]]]] = {}
        self._last: dict[bytes, Place] = {}

    def execute(self, words: list[bytes]) -> Any:
        """Return the reply to a command."""
        name, key = words[0], words[1]
        if name == b"XADD":
            if b"NOMKSTREAM" in words[2:-3] and key not in self._last:
                return None
            return self._add(key, *words[-3:])
        if name == b"XINFO":
            key = words[2]
            if key not in self._last:
                return hiredis.ReplyError("ERR no such key")
            return [b"last-generated-id", b"%d-%d" % self._last[key]]
        if name == b"XRANGE":
            after = Place.parse(words[2][1:]) if words[2] != b"-" else Place(-1, -1)
            found = [entry for entry in self._streams.get(key, []) if entry[0] > after]
            return [[b"%d-%d" % place, fields] for place, fields in found]
        if name == b"XTRIM":
            if words[2:-1] == [b"MINID"]:  # with `~` it need not do anything
                least, entries = Place.parse(words[-1]), self._streams.get(key, [])
                self._streams[key] = [entry for entry in entries if entry[0] >= least]
            return 1
        if name == b"EXPIRE":
            return 1
        raise AssertionError(words)

    def _add(self, key: bytes, place: bytes, field: bytes, value: bytes) -> Any:
        at, last = Place.parse(place), self._last.get(key, Place(0, 0))
        if at <= last and self.refuses:
            return hiredis.ReplyError(SMALLER)
        self._told(at, field, last.epoch, self.sender)
        self._streams.setdefault(key, []).append((at, [field, value]))
        self._last[key] = max(at, last)
        return place

    def forget(self) -> None:
        """Lose everything."""
        self._streams.clear()
        self._last.clear()
        self.counter = 0


BROKEN = "the connection broke"


class ToyLink(Link):
    """A node's connection. Commands arrive in their order, one at a time; replies come together.

    It may break, and comes back in a step of its own.
    """

    def __init__(
        self, address: Address, /, *, logger: Any, up: Callable[[], None], down: Callable[[str], None]
    ) -> None:
        super().__init__(address, logger=logger, up=up, down=down)
        self.trouble = ""
        self.connections = 1
        self.dead = False
        self.redis: Redis
        self.name = ""
        self._told = up, down
        self._is_broken = False
        self._is_up = True  # for a moment longer than it is whole: whoever holds it has to notice
        self._sources: list[Source] = []
        self._out: deque[tuple[bytes, OnReply]] = deque()
        self._replies: deque[tuple[Any, OnReply]] = deque()
        asyncio.get_running_loop().call_soon(up)

    @property
    def is_up(self) -> bool:
        return self._is_up

    def wants(self, source: Source) -> None:
        if not self._is_up:
            return
        if not self._sources:
            asyncio.get_running_loop().call_soon(self._fill)
        self._sources.append(source)

    def _fill(self) -> None:
        sources, self._sources = self._sources, []
        for source in sources:
            source.fill()

    def send(self, encoded: bytes, on_reply: OnReply) -> None:
        if self._is_broken:
            asyncio.get_running_loop().call_soon(on_reply, Lost(BROKEN))
        else:
            self._out.append((encoded, on_reply))

    async def ask(self, *words: str | bytes | int) -> Any:
        if not self._is_up:
            raise LogUnavailable(BROKEN)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answer(reply: Any) -> None:
            if isinstance(reply, Lost):
                future.set_exception(LogUnavailable(BROKEN))
            elif isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

        self.send(command(*words), answer)
        return await future

    def lose(self) -> None:
        """Break: what Redis has not taken never arrives, and no reply that is on its way."""
        if self._is_broken:
            return
        self._is_broken = True
        awaited = [on_reply for _, on_reply in (*self._replies, *self._out)]
        self._replies.clear()
        self._out.clear()
        self._sources.clear()
        for on_reply in awaited:
            on_reply(Lost(BROKEN))
        asyncio.get_running_loop().call_soon(self._notice)

    def _notice(self) -> None:
        self._is_up = False
        self.trouble = BROKEN
        self.down_since = asyncio.get_running_loop().time()
        self._told[1](BROKEN)

    def _come_back(self) -> None:
        self._is_broken, self._is_up = False, True
        self.trouble = ""
        self.down_since = None
        self.connections += 1
        self._told[0]()

    def steps(self) -> Iterator[Step]:
        """What can happen on the connection now."""
        if self.dead:
            return
        if self._out:
            yield Step(f"Redis takes from {self.name}", self._take)
        if self._replies:
            yield Step(f"{self.name} hears from Redis", self._hear)
        if not self._is_up:
            yield Step(f"{self.name} is back at Redis", self._come_back)

    def _take(self) -> None:
        encoded, on_reply = self._out.popleft()
        reader = hiredis.Reader()
        reader.feed(encoded)
        self.redis.sender = self.name
        self._replies.append((self.redis.execute(reader.gets()), on_reply))

    def _hear(self) -> None:
        replies, self._replies = self._replies, deque()
        for reply, on_reply in replies:
            on_reply(reply)


def is_marker(field: bytes) -> bool:
    """Whether an entry says that there is a new owner."""
    return field == MARKER
