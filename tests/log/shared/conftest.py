"""Nodes with shared logs, and what stands between them and Redis."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager

import pytest
import structlog

from app.chat.ports import Kind
from app.chat.states import Outcome
from app.log.entries import End, Entry, Prompt, Start
from app.log.session_log import SessionLog
from app.log.shared.hints import RedisHints
from app.log.shared.redis.link import Link
from app.log.shared.shared_log import SharedLog
from app.log.shared.shared_logs import PATIENCE, LinkMaker, SharedLogs
from tests.doubles.tcp_proxy import TcpProxy
from tests.support.recorder import Recorder
from tests.support.valkey import Valkey, running_valkey

ROOMY = 10**7  # bytes


class Node:
    """A node: its logs, the sessions that it was told are another's, and what it knows of its leases."""

    def __init__(self, url: str, max_bytes: int, patience: float, link: LinkMaker) -> None:
        self.lost: list[str] = []
        self.is_sure = True
        self.is_confirmed = True
        self.checks = 0
        self.taken: set[str] = set()  # sessions that PostgreSQL has given to another node
        self.logs = SharedLogs(
            url,
            max_bytes=max_bytes,
            seconds=60.0,
            logger=structlog.get_logger(),
            on_fenced=self.lost.append,
            patience=patience,
            lease=self,
            link=link,
        )

    async def writing(self, session: str, tokens: int = 0) -> tuple[SharedLog, Writer]:
        """Own a session, in which a stream has begun and said this much, which viewers see."""
        log = await self.logs.open(session, 1)
        stream = Writer(log)
        await stream.start()
        if tokens:
            stream.say(tokens)
            await log.shown()
        return log, stream

    async def check(self) -> None:
        """See `LeaseView`."""
        self.checks += 1
        for session in self.taken:
            self.logs.drop(session)


class Nodes:
    """Makes nodes, and ends them."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []

    async def start(
        self, url: str, *, max_bytes: int = ROOMY, patience: float = PATIENCE, link: LinkMaker = Link
    ) -> Node:
        """Start one. See `SharedLogs`."""
        node = Node(url, max_bytes, patience, link)
        self._nodes.append(node)
        await node.logs.start()
        return node

    async def writing(
        self, session: str, url: str, *, max_bytes: int = ROOMY, patience: float = PATIENCE
    ) -> tuple[Node, SharedLog, Writer]:
        """Start one that owns a session, in which a stream has begun."""
        node = await self.start(url, max_bytes=max_bytes, patience=patience)
        return node, *await node.writing(session)

    async def close(self) -> None:
        """End all."""
        for node in self._nodes:
            await node.logs.close()


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    """Nodes that end with the test."""
    made = Nodes()
    yield made
    await made.close()


@pytest.fixture
def session() -> str:
    """A session of this test alone."""
    return f"alice/{secrets.token_hex(8)}"


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A server that the test may kill and empty."""
    with running_valkey() as server:
        yield server


@pytest.fixture
async def proxy(own_valkey: Valkey) -> AsyncIterator[TcpProxy]:
    """The network before `own_valkey`."""
    async with TcpProxy(own_valkey.port).serving() as between:
        yield between


def through(proxy: TcpProxy) -> str:
    """Return the address of Redis behind a proxy."""
    return f"redis://127.0.0.1:{proxy.port}/0"


class Hints:
    """Hints of one node, and another one that hears them."""

    def __init__(self, sender: Node, hearer: Node, logger: Recorder | None = None) -> None:
        self.heard: list[str] = []
        logger = logger or Recorder()
        said, hears = sender.logs, hearer.logs
        self._sending = RedisHints(said.anywhere, node_id="a", logger=logger, publish=said.publish)
        self._hearing = RedisHints(hears.anywhere, node_id="b", logger=logger, publish=hears.publish)
        self._hearing.listen("test", self.heard.append)

    def hearing(self) -> AbstractAsyncContextManager[None]:
        """Hear them for the length of the block."""
        return self._hearing.hearing()

    async def arrived(self) -> bool:
        """Send one more; return whether one has arrived since `heard` was empty."""
        self._sending.send("test", "news")
        return bool(self.heard)


class Writer:
    """A stream that writes numbers as tokens: each log can be checked against how many there are."""

    def __init__(self, log: SessionLog, *, fence: int = 1, stream_id: str = "s1") -> None:
        self.log = log
        self.fence = fence
        self.stream_id = stream_id
        self.count = 0

    async def start(self) -> None:
        """Append the `start`."""
        await self.log.append(self.fence, Start(self.stream_id, "m1", "a/b", Prompt("p1", "hello")))

    def say(self, count: int = 1, kind: Kind = "token") -> None:
        """Append so many tokens, one at a time."""
        for _ in range(count):
            self.log.append_text(self.fence, kind, self.stream_id, self.count, [f"{self.count} "])
            self.count += 1

    async def end(self) -> None:
        """Append the `end`."""
        await self.log.append(self.fence, end_of(self.stream_id, self.count))


def end_of(stream_id: str, tokens: int) -> End:
    """Return the end of a stream."""
    return End(
        stream_id=stream_id,
        outcome=Outcome.COMPLETE,
        finish_reason="stop",
        tokens=tokens,
        duration_ms=1,
        ttft_ms=None,
        upstream_closed=True,
        message_id="m1",
    )


def numbers(count: int, begin: int = 0) -> str:
    """Return what a `Writer` has said."""
    return "".join(f"{number} " for number in range(begin, count))


def read(log: SessionLog, after: int = 0) -> list[Entry]:
    """Return all entries after a sequence number."""
    entries: list[Entry] = []
    while (reading := log.read(after)).last > after:
        entries += reading.entries
        after = reading.last
    return entries


def text(entries: list[Entry]) -> str:
    """Return the text in entries."""
    return "".join(entry.text for entry in entries)
