"""A Redis Cluster: its keys are on several primaries, and move when servers come, go or fail."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import Any

import hiredis

from app.chat.errors import LogUnavailable
from app.chat.ports import Logger
from app.log.shared.redis.address import PROBE_KEY, Address
from app.log.shared.redis.asking import asked
from app.log.shared.redis.errors import Lost, UnfitRedis
from app.log.shared.redis.link import Link, Sender
from app.log.shared.redis.shards import MakeLink
from app.log.shared.redis.slots import SlotMap, named, slot_of
from app.log.shared.redis.wire import OnReply, Reply, Source, command
from app.redis_url import Host, RedisUrl
from app.tasks.reports import report
from app.tasks.timeouts import within

ASK_SECONDS = 1.0  # for one server: the connection, and what it knows of the cluster
HELD_SECONDS = 10.0  # that a link is kept after a redirection to it, at least

_ASKING = command("ASKING")
_REDIRECT = re.compile(r"(?P<kind>ASK|MOVED) (?P<slot>\d+) (?P<name>\S*):(?P<port>\d+)")
_STATE = re.compile(rb"cluster_state:(\w+)")


class Asking:
    """A link to a shard that is getting a key just now. Each command says that it was sent there on purpose."""

    def __init__(self, home: Link) -> None:
        self.home = home

    def __repr__(self) -> str:
        return f"<Asking {self.home!r}>"

    def wants(self, source: Source) -> None:
        """See `Sender`."""
        self.home.wants(source)

    def send(self, encoded: bytes, on_reply: OnReply) -> None:
        """See `Sender`."""
        self.home.send(_ASKING, _ignore)
        self.home.send(encoded, on_reply)

    async def ask(self, *words: str | bytes | int) -> Reply:
        """See `Sender`."""
        self.home.send(_ASKING, _ignore)
        return await self.home.ask(*words)


class Shard:
    """One primary of the cluster. The map is read before each connection, so that a link comes up with a fresh one."""

    def __init__(
        self,
        address: Address,
        refresh: Callable[[], Coroutine[Any, Any, None]],
        probe_key: Callable[[], str | None],
    ) -> None:
        self.database = 0
        self._address = address
        self._refresh = refresh
        self._probe_key = probe_key

    def __str__(self) -> str:
        return str(self._address)

    async def server(self) -> Address:
        """See `Whereabouts`."""
        await self._refresh()
        return self._address._replace(probe_key=self._probe_key())


class Anywhere:
    """Any primary will do; the same one for as long as it is up."""

    def __init__(self, primaries: Callable[[], dict[Host, Link]], address: Callable[[Host], Address]) -> None:
        self.database = 0
        self._primaries = primaries
        self._address = address
        self._last: Host | None = None

    async def server(self) -> Address:
        """See `Whereabouts`."""
        up = [host for host, link in self._primaries().items() if link.is_up]
        if not up:
            raise LogUnavailable("no primary of the Redis Cluster can be reached")
        if self._last not in up:
            self._last = up[0]
        return self._address(self._last or up[0])


class RedisCluster:
    """The links of a node to all primaries of a cluster.

    `moved` is called with each fresh map: it moves the logs whose link is down to where their keys are now, and returns
    the links that logs still use.
    """

    def __init__(
        self, url: RedisUrl, make: MakeLink, moved: Callable[[], Collection[Link]], logger: Logger
    ) -> None:
        self._url = url
        self._make = make
        self._moved = moved
        self._logger = logger
        self._state = "not connected yet"  # why the cluster as a whole cannot be used; "" if it can
        self._down_since: float | None = None  # loop time since which it says so itself
        self._map = SlotMap([], url.hosts[0])
        self._links: dict[Host, Link] = {}
        self._first: Host | None = (
            None  # who is asked first for the next map: it knew better than the last one
        )
        self._reading: asyncio.Task[None] | None = None
        self._handed_out: dict[Host, float] = {}  # when, by loop time
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()  # links that are not needed any more
        self._is_started = False
        self._is_ended = False
        self.anywhere = Anywhere(self._primaries, self._address)

    def __repr__(self) -> str:
        return f"<RedisCluster {list(self._links.values())}>"

    def __str__(self) -> str:
        return ",".join(map(str, self._url.hosts))

    @property
    def trouble(self) -> str:
        """See `Shards`."""
        away = (f"{host}: {link.trouble}" for host, link in self._primaries().items() if link.trouble)
        return self._state or next(away, "")

    def _primaries(self) -> dict[Host, Link]:
        return {host: link for host, link in self._links.items() if host in self._map.primaries}

    def _address(self, host: Host) -> Address:
        url = self._url
        return Address(host.name, host.port, url.tls, url.user, url.password, database=0, in_cluster=True)

    # ---- for logs --------------------------------------------------------------------------------------------

    def of(self, key: str) -> Link:
        """See `Shards`."""
        host = self._map.of(slot_of(key))
        return self.any() if host is None else self._links[host]

    def is_ready(self, key: str) -> bool:
        """See `Shards`."""
        host = self._map.of(slot_of(key))
        return host is not None and self._down_since is None and self._links[host].is_up

    def away_since(self, key: str) -> float | None:
        """See `Shards`."""
        return self._down_since if self._down_since is not None else self.of(key).down_since

    def any(self) -> Link:
        """See `Shards`."""
        links = list((self._primaries() or self._links).values())
        return next((link for link in links if link.is_up), links[0])

    def redirect(self, key: str, error: str, link: Link) -> Sender:
        """See `Shards`. A fresh map is read soon."""
        said = _REDIRECT.match(error)
        if said is None:
            self._run(self._read_soon())
            if (last := self._map.of(slot_of(key))) is not None:
                self._handed_out[last] = self._loop.time()
            return self.of(key)
        asked = next((host for host, each in self._links.items() if each is link), self._url.hosts[0])
        host = named(said["name"], int(said["port"]), asked)
        self._handed_out[host] = self._loop.time()
        there = self._link(host)
        if said["kind"] == "ASK":
            return Asking(there)
        self._map.give(int(said["slot"]), host)
        self._first = host
        self._run(self._read_soon())
        return there

    def _link(self, host: Host) -> Link:
        link = self._links.get(host)
        if link is None:
            shard = Shard(self._address(host), self.refresh, lambda: self._map.key_at(host, PROBE_KEY))
            link = self._links[host] = self._make(shard)
            if self._is_started:
                link.start_soon()
        return link

    # ---- the connections -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See `Shards`. A shard that is away is waited for in the background, if another one is there."""
        await self._read_soon()
        if self._state:
            raise UnfitRedis(f"cannot use the Redis Cluster at {self}: {self._state}")
        links = tuple(self._links.values())
        results = await asyncio.gather(*(link.try_to_start() for link in links), return_exceptions=True)
        self._is_started = True
        for link in self._links.values():
            if link not in links:  # it was found meanwhile
                link.start_soon()
        unfit = [result for result in results if isinstance(result, BaseException)]
        if not unfit and not self.any().is_up:
            unfit.append(UnfitRedis(f"cannot use the Redis Cluster at {self}: {self.trouble}"))
        if unfit:
            await self.close()
            raise unfit[0]

    async def close(self) -> None:
        """See `Shards`."""
        self._is_ended = True
        reading = {*self._tasks, *([self._reading] if self._reading is not None else [])}
        for task in reading:
            task.cancel()
        if waited_for := reading | self._closing:
            await asyncio.wait(waited_for)
        for link in self._links.values():
            await link.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._own(work, self._tasks)

    def _own(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        task = self._loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(_ended)

    # ---- the map ---------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Return once the map was read anew; several at once wait for the same. Raises `LogUnavailable`."""
        task = self._reading
        if task is None or task.done():
            task = self._reading = self._loop.create_task(self._read(), name="read the slots")
            task.add_done_callback(_retrieved)
        await asyncio.wait({task})
        if task.cancelled():
            raise LogUnavailable("this node ends")
        task.result()

    async def _read_soon(self) -> None:
        try:
            await self.refresh()
        except LogUnavailable as error:
            self._logger.debug("redis_cluster_unknown", reason=str(error))

    async def _read(self) -> None:
        """Ask one server after the other. One that takes the cluster for down is believed if no other knows better."""
        problems, down = [], None
        for host in self._candidates():
            try:
                slots, is_ok = await within(ASK_SECONDS, self._ask(host))
            except TimeoutError:
                problems.append(f"{host} does not answer within {ASK_SECONDS:g} s")
            except (OSError, Lost, hiredis.ReplyError) as error:
                problems.append(f"{host}: {str(error) or type(error).__name__}")
            else:
                if not slots.primaries:
                    problems.append(f"{host} knows no primary")
                elif is_ok:
                    self._first = host
                    self._take(slots, "")
                    return
                else:
                    down = down or slots
        if down is None:
            self._state = f"no server of the Redis Cluster answers: {'; '.join(problems)}"
            raise LogUnavailable(self._state)
        self._take(down, "the Redis Cluster is down: not all of its keys have a primary")

    def _candidates(self) -> Iterator[Host]:
        links = self._links.items()
        hosts = [
            *([self._first] if self._first is not None else []),
            *(host for host, link in links if link.is_up),
            *(host for host, link in links if not link.is_up),
            *self._url.hosts,
        ]
        yield from dict.fromkeys(hosts)

    async def _ask(self, host: Host) -> tuple[SlotMap, bool]:
        info, slots = await asked(self._address(host), ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS"))
        state = _STATE.search(info)
        return SlotMap(slots, host), state is not None and state[1] == b"ok"

    def _take(self, slots: SlotMap, state: str) -> None:
        if self._is_ended:
            return
        if state and state != self._state:
            self._logger.warning("redis_cluster_down", reason=state)
        known = self._map
        is_same = (slots.owners, slots.primaries, state) == (known.owners, known.primaries, self._state)
        if not is_same:
            self._map, self._state = slots, state
            self._down_since = (self._down_since or self._loop.time()) if state else None
        if (
            is_same
            and slots.primaries == sorted(self._links)
            and all(link.is_up for link in self._links.values())
        ):
            return
        for host in slots.primaries:
            self._link(host)
        used = self._moved()
        for host, link in tuple(self._links.items()):
            if host not in slots.primaries and link not in used and not self._was_handed_out(host):
                del self._links[host]
                self._own(link.close(), self._closing)

    def _was_handed_out(self, host: Host) -> bool:
        """Whether somebody may be about to use the link to a server that has no keys yet."""
        since = self._handed_out.get(host)
        if since is None or self._loop.time() - since < HELD_SECONDS:
            return since is not None
        del self._handed_out[host]
        return False


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and isinstance(error := task.exception(), Exception):
        report("a task of the Redis Cluster failed", error)


def _retrieved(task: asyncio.Task[None]) -> None:
    """Whoever waited for it may be gone."""
    if not task.cancelled():
        task.exception()


def _ignore(_reply: Reply) -> None:
    """The reply to the command that follows says what matters."""
