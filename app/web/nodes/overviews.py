"""The operations of all nodes: the node that is asked collects them. One that does not answer delays no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import msgspec
from aiohttp import hdrs, web
from multidict import CIMultiDict

from app.chat.errors import HistoryUnavailable
from app.cluster.ports import Expired, Lease, Node
from app.tasks.reports import report
from app.tasks.timeouts import within
from app.web.app_keys import OWNER
from app.web.http import forwarded
from app.web.nodes.outgoing import Outgoing
from app.web.nodes.peers import BROKEN, NotBelieved, Peers, Refused, Unreachable
from app.web.nodes.signature import NO_SESSION

SECONDS = 2.0  # for a node to answer
LOOK_SECONDS = 1.0  # for PostgreSQL to tell which nodes have expired
SILENT_SECONDS = 0.25  # for one that left the last question unanswered
KEPT_SECONDS = 2 * SECONDS  # after which an answer says nothing any more
REMEMBERED_SECONDS = 15.0  # the same of a missing one: longer than a page without scripts takes to reload
END_SECONDS = 1.0  # for questions at the end
MOST_QUESTIONS = 64  # that are open, and as many answers
MOST_BYTES = 8 * 1024 * 1024  # of an answer
DATABASE = ""  # is asked, too; no node has this id

# Why there is no answer. The page has a sentence for each.
TIMEOUT, LOST, UNBELIEVED, UNREADABLE = "timeout", "lost", "unbelieved", "unreadable"
PENDING = "pending"  # none yet
EXPIRED = "expired"


class Unreadable(Exception):
    """The node answered with something else than its operations."""


TROUBLE = (Unreachable, Refused, NotBelieved, Unreadable, TimeoutError, msgspec.DecodeError, *BROKEN)


class Answer(NamedTuple):
    """What came of asking a node."""

    node: Node
    said: dict[str, Any] | None  # `None`: nothing
    reason: str = ""  # then, why
    error: str = ""  # the same in words, for JSON
    since: float | None = None  # POSIX time of the first question without an answer, or of its expiry

    def as_json(self) -> dict[str, Any]:
        """Return the answer itself, or why there is none. Either has a `node` with the id and the address."""
        known = {"id": self.node.id, "url": self.node.url}
        if self.said is not None:
            told = self.said.get("node")
            return {**self.said, "node": {**(told if isinstance(told, dict) else {}), **known}}
        return {
            "node": known,
            "error": self.error,
            "reason": self.reason,
            "since": self.since,
        }


class Heard(NamedTuple):
    """An answer, and when it was there."""

    at: float  # loop time
    answer: Answer


class Survey:
    """Asks the other nodes what they do, each by itself. Who asks the same at the same time shares the answers.

    `nodes` returns those that live, `expired` those that have not left but live no longer.
    """

    def __init__(
        self,
        peers: Peers,
        nodes: Callable[[], Sequence[Node]],
        expired: Callable[[], Awaitable[Sequence[Expired]]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._peers = peers
        self._nodes = nodes
        self._expired = expired
        self._now = now
        # By node, and by the address that is asked; the oldest first.
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._heard: dict[tuple[str, str], Heard] = {}
        self._silent: dict[str, Heard] = {}  # by node; those that left the last question unanswered
        self._gone: list[Expired] = []
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Survey asking={len(self._asking)} silent={sorted(self._silent)}>"

    async def close(self) -> None:
        """Ask no longer. Bounded."""
        tasks = set(self._asking.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_SECONDS)

    async def ask(
        self, request: web.Request, address: str, *, patience: float, age: float = 0.0
    ) -> list[Answer]:
        """Return what each node says to a GET of `address` as JSON; those that have expired come last.

        Waits up to `patience` seconds, for a node that left the last question unanswered `SILENT_SECONDS` at most: a
        later answer comes with a later call. Answers that are up to `age` seconds old do.
        """
        nodes = list(self._nodes())
        self._forget(nodes)
        asked = Outgoing(
            hdrs.METH_GET,
            address,
            CIMultiDict({hdrs.ACCEPT: "application/json"}),
            b"",
            request[OWNER],
            forwarded.client(request),
        )
        questions = [(node.id, self._ask(node, asked, age)) for node in nodes]
        questions.append((DATABASE, self._work(DATABASE, DATABASE, self._look)))
        until = self._loop.time() + min(patience, SILENT_SECONDS)
        await _done([task for name, task in questions if name not in self._silent], patience)
        await _done([task for _, task in questions], until - self._loop.time())
        return [*(self._answer(node, address) for node in nodes), *self._lost(nodes)]

    # ---- questions -------------------------------------------------------------------------------------------

    def _ask(self, node: Node, asked: Outgoing, age: float) -> asyncio.Task[None] | None:
        heard = self._heard.get((node.id, asked.address))
        if heard is not None and self._loop.time() - heard.at < age:
            return None
        return self._work(node.id, asked.address, lambda: self._question(node, asked))

    def _work(
        self, name: str, address: str, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None] | None:
        """Return the question that is open, or begin one; `None` if there are too many."""
        key = name, address
        if key not in self._asking and len(self._asking) < MOST_QUESTIONS:
            task = self._loop.create_task(work(), name=f"operations of {name or 'PostgreSQL'}")
            self._asking[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return self._asking.get(key)

    def _ended(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        del self._asking[key]
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            report("asking a node for its operations failed", error)

    async def _question(self, node: Node, asked: Outgoing) -> None:
        began = self._now()
        try:
            answer = Answer(node, await within(SECONDS, _answer(self._peers, node, asked)))
            self._silent.pop(node.id, None)
        except TROUBLE as error:
            before = self._silent.get(node.id)
            since = began if before is None else before.answer.since
            answer = Answer(node, None, _reason(error), str(error) or type(error).__name__, since)
            self._silent[node.id] = Heard(self._loop.time(), answer)
        key = node.id, asked.address
        self._heard.pop(key, None)
        self._heard[key] = Heard(self._loop.time(), answer)

    async def _look(self) -> None:
        try:
            self._gone = list(await within(LOOK_SECONDS, self._known()))
            self._silent.pop(DATABASE, None)
        except (HistoryUnavailable, TimeoutError):
            self._silent[DATABASE] = Heard(self._loop.time(), Answer(Node(DATABASE, ""), None))

    async def _known(self) -> Sequence[Expired]:
        return await self._expired()

    # ---- answers ---------------------------------------------------------------------------------------------

    def _answer(self, node: Node, address: str) -> Answer:
        heard = self._heard.get((node.id, address), self._silent.get(node.id))
        return heard.answer if heard is not None else Answer(node, None, PENDING, "no answer yet")

    def _lost(self, nodes: Sequence[Node]) -> list[Answer]:
        alive = {node.id for node in nodes}
        return [
            Answer(node, None, EXPIRED, "it has expired", since)
            for node, since in self._gone
            if node.id not in alive
        ]

    def _forget(self, nodes: Sequence[Node]) -> None:
        """Drop what is too old or too much, and the nodes that live no longer."""
        now, alive = self._loop.time(), {DATABASE, *(node.id for node in nodes)}
        for name, silent in list(self._silent.items()):
            if name not in alive or silent.at < now - REMEMBERED_SECONDS:
                del self._silent[name]
        for key, heard in list(self._heard.items()):
            if heard.at < now - KEPT_SECONDS or len(self._heard) > MOST_QUESTIONS:
                del self._heard[key]


async def _done(tasks: Sequence[asyncio.Task[None] | None], patience: float) -> None:
    """Wait for tasks, which go on afterwards."""
    waited = [task for task in tasks if task is not None and not task.done()]
    if waited and patience > 0:
        await asyncio.wait(waited, timeout=patience)


def _reason(error: Exception) -> str:
    if isinstance(error, Refused | NotBelieved):
        return UNBELIEVED
    if isinstance(error, Unreadable | msgspec.DecodeError):
        return UNREADABLE
    return TIMEOUT if isinstance(error, TimeoutError) or str(error) == "timeout" else LOST


async def _answer(peers: Peers, node: Node, asked: Outgoing) -> dict[str, Any]:
    response = await peers.send(Lease(NO_SESSION, node, 0, True), asked)
    try:
        if response.status != 200:
            raise Unreadable(f"it answered {response.status}")
        body = bytearray()
        async for part in response.content.iter_any():
            body += part
            if len(body) > MOST_BYTES:
                raise Unreadable("its answer is too long")
    finally:
        response.close()
    return msgspec.json.decode(body, type=dict[str, Any])
