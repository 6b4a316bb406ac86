"""One run of a scenario with several nodes, and the invariants that hold across them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any, NamedTuple, cast

from app.chat.errors import Refused
from app.chat.ports import Backend, Catalog, Model
from app.chat.states import Outcome
from app.chat.submission import Submission
from app.cluster.membership import Membership
from app.cluster.ownership import Ownership
from app.cluster.ports import Node
from app.config.settings import Settings
from app.log.cursors import Cursor
from app.log.entries import End, Entry
from app.log.session_log import SessionLog
from app.log.shared.records import Place
from app.log.shared.shared_logs import SharedLogs
from app.nodes.estate import Shared
from app.streams.bounds import Bounds
from app.streams.registry import Registry
from tests.schedules.choices import Chooser, Scripted
from tests.schedules.events import expand
from tests.schedules.loop import VirtualLoop
from tests.schedules.nodes.engines import Redis, Statements, ToyLink, at_once, is_marker
from tests.schedules.nodes.history import NodeHistory, NodeLeases, SharedTruth
from tests.schedules.upstream import MODEL, Answer, Behaviour, Step, Upstream
from tests.support.recorder import Recorder

OWNER = "local"
SESSION = "s"
MOST_STEPS = 3000
MOST_SECONDS = 300.0
TTL = 6.0  # s, of the nodes that expire
NAMES = {
    0: "Nothing crashes unseen",
    1: "No append after the epoch moved on",
    2: "A cursor never skips: nobody sees two tellings",
    3: "What anybody saw is not lost",
    4: "The newest prompt runs",
    5: "One start and one end for every prompt, in their order",
    6: "Log and history say the same of an end",
    7: "The cursor of a prompt is before its start",
    8: "A node that is sure of a lease has it, unless it was taken by force",
}


class NodesViolation(Exception):
    """An invariant that did not hold."""

    def __init__(self, invariant: int, what: str) -> None:
        super().__init__(f"invariant {invariant} ({NAMES[invariant]}): {what}")
        self.invariant = invariant


class Parts(NamedTuple):
    """What the nodes are made of: the product's parts, unless one of them is wrong on purpose."""

    logs: type[SharedLogs] = SharedLogs
    history: type[NodeHistory] = NodeHistory
    leases: type[NodeLeases] = NodeLeases
    redis: type[Redis] = Redis
    membership: type[Membership] = Membership
    ownership: type[Ownership] = Ownership
    estate: type[Shared] = Shared


PRODUCT = Parts()


class ExploredNode:
    """A node under trial."""

    def __init__(self, name: str, world: NodesWorld, parts: Parts, ttl: float) -> None:
        self.name = name
        self.dead = False
        self.logger = Recorder()
        self.statements = Statements(name)
        links: list[ToyLink] = []

        def link(*of: Any, **kwargs: Any) -> ToyLink:
            links.append(ToyLink(*of, **kwargs))
            return links[-1]

        self.shared = parts.estate(
            Settings(redis_url="redis://explored/0"), self.logger, name, logs=partial(parts.logs, link=link)
        )
        self.shared.fence.node_id = name
        [self.link] = links
        self.link.name, self.link.redis = name, world.redis
        self.leases = parts.leases(world.truth, self.statements, self.shared.fence)
        self.leases.redis = world.redis
        history: Any = parts.history(world.truth, self.statements, self.shared.fence)
        ids = count(1)
        self.registry = Registry(
            history=history,
            bounds=Bounds(viewer_grace=None),
            logger=self.logger,
            new_id=lambda: f"{name}{next(ids)}",
            logs=self.shared,
            prepare=self.shared.prepare,
            own=self.shared.own,
        )
        node = Node(name, f"http://{name}")
        self.shared.history, self.shared.registry = history, self.registry
        self.shared.catalog = cast("Catalog", OneModel(self, world))
        self.shared.ownership = self.ownership = parts.ownership(
            leases=self.leases,
            estate=self.shared,
            registry=self.registry,
            node=node,
            logger=self.logger,
            taken=lambda _lease: None,
        )
        self.membership = parts.membership(
            leases=self.leases,
            ownership=self.ownership,
            ttl=ttl,
            logger=self.logger,
            log_is_up=lambda: not self.link.trouble,
        )
        at_once(self.leases.join(node, ttl))
        self.ownership.sure_until = self.ownership.confirmed_until = ttl
        self.ownership.claiming = True

    async def renew(self) -> None:
        """Do once what a node does all the time."""
        await self.membership.renew()

    def kill(self) -> None:
        """Nothing reaches it any more, and it reaches nobody."""
        self.dead = self.statements.dead = self.link.dead = True


class OneModel:
    """The catalogue of a node: every stream that is started again has a model server of its own."""

    def __init__(self, node: ExploredNode, world: NodesWorld) -> None:
        self._node = node
        self._world = world

    async def resolve(self, model_id: str | None) -> tuple[Backend, Model]:
        del model_id
        return self._world.upstream(self._node, f"again at {self._node.name}"), MODEL


class Operation(NamedTuple):
    """Something that happens from outside."""

    label: str
    do: Callable[[NodesWorld], None]
    possible: Callable[[NodesWorld], bool] = lambda _world: True

    def __str__(self) -> str:
        return self.label


class NodesScenario(NamedTuple):
    """Operations in lanes: those of one lane happen in order, the lanes among each other in any."""

    name: str
    lanes: tuple[tuple[Operation, ...], ...]
    nodes: str = "ab"
    mortal: str = ""  # nodes that expire unless they renew themselves; the others need not


class NodesWorld:
    """Lets nodes, engines and users act in the order of a chooser, and watches. All is about one session."""

    def __init__(self, scenario: NodesScenario, chooser: Chooser, parts: Parts = PRODUCT) -> None:
        self.story: list[str] = []
        self._chooser = chooser
        self._lanes = [list(lane) for lane in scenario.lanes]
        self._loop = VirtualLoop()  # type: ignore[abstract]
        self._upstreams: dict[str, tuple[ExploredNode, Upstream]] = {}
        self.accepted: dict[str, str] = {}  # stream by label, in the order of the answers
        self._cursors: dict[str, Cursor] = {}  # by label, too
        # What was visible, by sequence number, and from when Redis has lost all on, also by epoch.
        self._seen: dict[tuple[int, int], tuple[str, str, str]] = {}
        self._forgotten = False  # Redis has lost all
        self._markers: dict[int, str] = {}  # who began each epoch in the log
        self._tasks: list[tuple[ExploredNode, asyncio.Task[Any]]] = []
        self._violation: NodesViolation | None = None
        with self._loop.running():
            self.truth = SharedTruth(self._loop.time)
            self.redis = parts.redis(self._stored)
            self.nodes = {
                name: ExploredNode(name, self, parts, TTL if name in scenario.mortal else float("inf"))
                for name in scenario.nodes
            }

    # ---- the run ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let everything happen. Raises `NodesViolation`."""
        with self._loop.running():
            try:
                while self._choose():
                    self._look()
                self._end()
            finally:
                self._loop.tear_down(self._let_go, most_steps=MOST_STEPS)

    def _choose(self) -> bool:
        ready, steps = self._loop.ready(), list(self._steps())
        timers = self._loop.timers()
        if not ready and not steps:
            if not timers or self._loop.time() > MOST_SECONDS or not self._waits():
                return False
            self._loop.pass_time()
            return True
        if len(self._chooser.chosen) > MOST_STEPS:
            self._violate(0, "steps without end")
        choice = self._chooser.choose(min(250, bool(ready) + len(steps)), 1 if ready else max(1, len(steps)))
        if ready and choice == 0:
            self._loop.run(0)
            return True
        step = steps[choice - bool(ready)]
        self.story.append(step.label)
        step.do()
        return True

    def _waits(self) -> bool:
        return any(not (node.dead or task.done()) for node, task in self._tasks) or any(
            session.running is not None
            for node in self._living()
            if (session := node.registry.find(SESSION)) is not None
        )

    def _living(self) -> Iterator[ExploredNode]:
        return (node for node in self.nodes.values() if not node.dead)

    def _steps(self) -> Iterator[Step]:
        for lane in self._lanes:
            if lane and lane[0].possible(self):
                yield Step(lane[0].label, lambda lane=lane: lane.pop(0).do(self))  # type: ignore[misc]
        for node in self._living():
            yield from node.statements.steps()
            yield from node.link.steps()
        for node, upstream in self._upstreams.values():
            if not node.dead:
                for answer in upstream.answers:
                    yield from answer.steps()

    # ---- what operations ask and do ----------------------------------------------------------------------------------

    def is_visible(self, name: str) -> bool:
        """Whether anybody has seen an event of this kind."""
        return any(seen[0] == name for seen in self._seen.values())

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass, whatever is on its way."""
        self._loop.pass_seconds(seconds)

    def forget(self) -> None:
        """Redis loses everything, and nobody's connection breaks."""
        self.redis.forget()
        self._forgotten = True
        self._seen.clear()
        self._markers.clear()

    def awaits(self, node: str, statement: str) -> bool:
        """Whether PostgreSQL has done what a node asked for, which has not heard of it yet."""
        return self.nodes[node].statements.has_done(statement)

    def waits_for_redis(self, node: str) -> bool:
        """Whether a node has text of an answer that Redis has not acknowledged."""
        log = self.nodes[node].shared.logs.find(SESSION)
        if log is None or log.written is None or log.answer is None:
            return False
        return log.written.tokens > log.answer.tokens

    def has_renewed(self) -> bool:
        """Whether all renewals that began are over."""
        return all(task.done() for _, task in self._tasks if task.get_name() == "renew")

    def is_stored(self) -> bool:
        """Whether the history knows the end of an answer."""
        return any(state.outcome is not None for state in self.truth.states.values())

    def handle(self, node: str, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` as a request handler of a node would."""
        task = self._loop.create_task(self._refusable(work), name=name)
        self._tasks.append((self.nodes[node], task))
        return task

    async def _refusable(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await work
        except Refused:
            return None

    def post(self, name: str, label: str) -> None:
        """Send a prompt to a node."""
        node = self.nodes[name]
        if node.dead:
            return
        upstream = self.upstream(node, label)
        ask = Submission(owner=OWNER, session_id=SESSION, prompt=label, model=MODEL, backend=upstream)
        self.handle(name, self._post(node, label, ask), f"post {label}")

    def upstream(self, node: ExploredNode, label: str) -> Upstream:
        """Return a model server for a node, the same for the same label."""
        if label not in self._upstreams:
            self._upstreams[label] = node, Upstream(label, Behaviour(tokens=2), self)
        return self._upstreams[label][1]

    async def _post(self, node: ExploredNode, label: str, ask: Submission) -> None:
        registered = await node.registry.register(ask)
        if not node.dead:
            self.accepted[label], self._cursors[label] = registered.stream_id, registered.cursor

    # ---- the invariants --------------------------------------------------------------------------------------

    def _violate(self, invariant: int, what: str) -> None:
        raise NodesViolation(invariant, what)

    def opened(self, answer: Answer) -> None:
        """See `Watcher`."""

    def starved(self) -> float:
        """See `Watcher`."""
        return 0.0

    def _stored(self, place: Place, field: bytes, newest: int, sender: str) -> None:
        if is_marker(field):
            self._markers[place.epoch] = sender
        elif place.epoch < newest:
            self._violation = NodesViolation(1, f"{place} was stored after epoch {newest} had begun")
        elif (owner := self._markers.get(place.epoch, sender)) != sender:
            self._violation = NodesViolation(1, f"{place} is of {sender}, and {owner} has begun the epoch")

    def _look(self) -> None:
        if self._violation is not None:
            raise self._violation
        for node in self._living():
            session = node.registry.find(SESSION)
            if session is not None:
                epoch = session.log.epoch if self._forgotten else 0
                for entry in session.log.read(0).entries:
                    self._see(node.name, entry, epoch)
            if node.membership.ttl == TTL:
                self._ask_of_the_clock(node)

    def _ask_of_the_clock(self, node: ExploredNode) -> None:
        row = self.truth.leases.leases.get(SESSION)
        held = node.ownership.epochs().get(SESSION)
        if row is None or held is None or row.epoch <= held or self.truth.forced:
            return
        if node.ownership.holds(SESSION):
            self._violate(8, f"{node.name} is sure of epoch {held}, and {row.node_id} has epoch {row.epoch}")

    def _see(self, name: str, entry: Entry, epoch: int) -> None:
        for event in expand(entry):
            if event.name in ("token", "reasoning") and entry.count > 1:
                continue  # its text is in the first one
            told = (event.name, event.stream_id, event.text)
            known = self._seen.setdefault((epoch, event.seq), told)
            if known != told:
                self._violate(2, f"{name} shows {told} at {event.seq}, where {known} was seen")

    def _end(self) -> None:
        """Somebody who lives owns the session at last, and all is asked."""
        holders = {node.name for node in self._living() if node.ownership.holds(SESSION)}
        sure = [node for node in self._living() if node.ownership.is_sure]
        # Not one that has lost it and does not know yet: that takes itself for the owner until its next renewal.
        last = min(sure, key=lambda node: node.ownership.holds(SESSION))
        if self.truth.leases.lease(SESSION) is None:
            return
        for node in self._living():
            lease = self.truth.leases.lease(SESSION)
            if (
                lease is not None
                and lease.node.id == node.name
                and node.ownership.holds(SESSION, lease.epoch)
            ):
                last = node
        self._settle(last.name, last.ownership.owner(SESSION, over=self._epoch()))
        log = last.shared.logs.find(SESSION)
        if log is None:
            self._violate(0, f"{last.name} cannot open the session")
            return
        self._look()
        told = {event.seq: event for entry in log.read(0).entries for event in expand(entry)}
        for (_, seq), (name, stream_id, _) in self._seen.items():
            if seq not in told and seq > log.floor and not self._forgotten:
                self._violate(3, f"{name} of {stream_id} at {seq} was seen, and is lost")
        self._ask_of_cursors(log)
        self._ask_of_streams(list(log.read(0).entries), holders)

    def _ask_of_cursors(self, log: SessionLog) -> None:
        """Whoever sent a prompt reads on from its cursor. If that is refused, a snapshot has the rest."""
        starts = {entry.stream_id: entry.seq for entry in log.read(0).entries if entry.name == "start"}
        for label, cursor in self._cursors.items():
            start = starts.get(self.accepted[label])
            if start is not None and start <= cursor.seq and log.refusal(cursor) is None:
                self._violate(7, f"{label} was promised to start after {cursor}, and starts at {start}")

    def _epoch(self) -> int:
        return self.truth.leases.leases[SESSION].epoch

    def _ask_of_streams(self, entries: list[Entry], holders: set[str]) -> None:
        turns = [(entry.stream_id, entry.name) for entry in entries if entry.name in ("start", "end")]
        order = [stream_id for stream_id, name in turns if name == "start"]
        if turns != [(stream_id, name) for stream_id in order for name in ("start", "end")]:
            self._violate(5, f"the log has {turns}")
        seen = {stream_id for _, stream_id, _ in self._seen.values()}
        for label, stream_id in self.accepted.items():
            if stream_id not in self.truth.states:
                self._violate(5, f"{label} ({stream_id}) was accepted, and nobody knows it")
            is_hidden = stream_id not in seen or self._forgotten
            if is_hidden and self.truth.states[stream_id].outcome is not None:
                continue  # nobody has seen anything of it in the log, or it was lost: the history has it all
            if order.count(stream_id) != 1:
                self._violate(5, f"{label} ({stream_id}) has {order.count(stream_id)} starts in {turns}")
        for entry in entries:
            if isinstance(entry.event, End):
                state = self.truth.states[entry.stream_id]
                if state.outcome is not entry.event.outcome:
                    self._violate(6, f"{entry.stream_id}: {entry.event.outcome} and {state.outcome}")
        self._ask_of_the_newest(entries, holders)
        self._ask_of_the_unseen(entries)

    def _ask_of_the_unseen(self, entries: list[Entry]) -> None:
        """The newest prompt is answered, however many nodes it takes, if nobody can have seen a part of an answer."""
        stream_id = next(reversed(self.truth.exchanges), None)
        if stream_id is None or stream_id in self.truth.taken_up | self.truth.halted:
            return
        told = [(entry.name, entry.stream_id) for entry in entries] + [
            seen[:2] for seen in self._seen.values()
        ]
        shown = ("token", stream_id) in told or ("reasoning", stream_id) in told
        outcome = self.truth.states[stream_id].outcome
        if outcome is Outcome.INTERRUPTED and not shown:
            self._violate(4, f"{stream_id} is {outcome}, and nobody has seen anything of it")

    def _ask_of_the_newest(self, entries: list[Entry], holders: set[str]) -> None:
        """It is complete, unless its node lost the session, or gave it up."""
        if not self.accepted:
            return
        label, stream_id = list(self.accepted.items())[-1]
        node = self._upstreams[label][0]
        lost = node.name not in holders or "session_lost" in node.logger.events
        outcomes = {entry.stream_id: entry.event.outcome for entry in entries if isinstance(entry.event, End)}
        if not lost and outcomes.get(stream_id) != "complete" and order_of(entries)[-1:] == [stream_id]:
            self._violate(4, f"{label} is {outcomes.get(stream_id)}")

    def _settle(self, node: str, work: Coroutine[Any, Any, Any]) -> None:
        """Do something, and let all happen as asyncio and the engines do it by themselves."""
        task = self.handle(node, work, "at the end")
        for _ in range(MOST_STEPS):
            steps = list(self._steps())
            if self._loop.ready():
                self._loop.run(0)
            elif steps:
                steps[0].do()
            elif self._waits() and self._loop.timers():
                self._loop.pass_time()
            else:
                break
            self._look()
        if not task.done():
            self._violate(0, "the last node cannot take the session")
        if self._loop.complaints:
            self._violate(0, "; ".join(self._loop.complaints))

    def _let_go(self) -> None:
        for _, upstream in self._upstreams.values():
            for answer in upstream.answers:
                answer.abort()
                answer.relent()


def order_of(entries: list[Entry]) -> list[str]:
    """Return the streams in the order of their starts."""
    return [entry.stream_id for entry in entries if entry.name == "start"]


def play(scenario: NodesScenario, chooser: Chooser, parts: Parts = PRODUCT) -> NodesViolation | None:
    """Run a scenario once; return what did not hold, or `None`."""
    try:
        NodesWorld(scenario, chooser, parts).run()
    except NodesViolation as violation:
        return violation
    return None


def replay(
    scenario: NodesScenario, script: Mapping[int, int], parts: Parts = PRODUCT
) -> tuple[NodesViolation | None, list[str]]:
    """Run one schedule; return what did not hold, and the story."""
    world = NodesWorld(scenario, Scripted(script), parts)
    try:
        world.run()
    except NodesViolation as violation:
        return violation, world.story
    return None, world.story
