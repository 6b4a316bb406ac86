"""Nodes that are wrong on purpose: each in one place, with the scenario that tempts it, and what it has to break."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from app.chat.records import Admission, Exchange, Seen, StreamState, Unfinished
from app.cluster.membership import Membership
from app.cluster.ownership import Ownership
from app.cluster.ports import Lease
from app.history.fence import Fence
from app.log.answer_view import AnswerView
from app.log.entries import Event
from app.log.shared.mirror import Mirror
from app.log.shared.opening import Opening
from app.log.shared.records import Place, Record
from app.log.shared.redis.errors import Lost
from app.log.shared.redis.link import Sender
from app.log.shared.redis.wire import Reply
from app.log.shared.settling import GoesOn, Tail
from app.log.shared.shared_log import SharedLog
from app.log.shared.shared_logs import SharedLogs
from app.nodes.estate import Shared
from tests.doubles.leases import Row
from tests.schedules.nodes.engines import Redis, Statements
from tests.schedules.nodes.history import NodeHistory, NodeLeases, SharedTruth
from tests.schedules.nodes.scenarios import SCENARIOS
from tests.schedules.nodes.world import NodesScenario, Parts

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


class TakesAnything(Redis):
    """Appends have no epoch: Redis takes them from whoever sends them."""

    refuses = False


class Unmarked(Opening):
    """Reads without a marker."""

    async def _mark(self, link: Sender) -> None:
        """Say nothing."""


class WithoutMarker(SharedLogs):
    """A new owner reads the log, and does not fence off the old one."""

    opening = Unmarked


class EagerLog(SharedLog):
    """Shows what Redis has not acknowledged."""

    def _take(self, record: Record) -> None:
        self._show_all()
        super()._take(record)


class ShowsAtOnce(SharedLogs):
    """Viewers see what only this node has."""

    log = EagerLog


class TrustingLog(SharedLog):
    """Takes what was on its way for stored when the connection breaks."""

    def _on_stored(self, reply: Reply) -> None:
        super()._on_stored(b"stored" if isinstance(reply, Lost) else reply)


class TrustsRedis(SharedLogs):
    """A reply that never came was a good one."""

    log = TrustingLog


class BelievesItsClock(NodeHistory):
    """A write is not checked against the lease: whoever thinks that it owns a session writes it."""

    checks = False


class CountsFromTheReply(Membership):
    """A node's time to live begins when it hears that it was renewed, and not when it asked."""

    def _renewed(self, began: float) -> None:
        super()._renewed(max(began, self._loop.time()))


class TakesForGranted(Ownership):
    """A session that was being taken is held, whatever has become of its lease since."""

    async def _confirm(self, lease: Lease, sure_until: float) -> None:
        """Ask nobody."""


class OnlyHinted(NodeHistory):
    """A prompt is in the memory of its owner, and on disk with its answer."""

    def __init__(self, truth: SharedTruth, statements: Statements, fence: Fence) -> None:
        super().__init__(truth, statements, fence)
        self._mine: dict[str, Exchange] = {}

    async def admit(self, exchange: Exchange) -> Admission:
        stream_id = exchange.stream.stream_id
        self._mine[stream_id] = exchange
        self._epochs[stream_id] = self._fence.epoch(exchange.session_id)
        await self.settle()
        return Admission()

    async def finish(self, state: StreamState, content: str, reasoning: str) -> None:
        await super().admit(self._mine[state.stream_id])
        await super().finish(state, content, reasoning)


class MintsInRedis(NodeLeases):
    """The epoch of a lease is a number of Redis, which may lose it."""

    async def acquire(self, session: str, *, over: int | None = None) -> Lease:
        before = self._table.leases.get(session)
        lease = await super().acquire(session, over=over)
        if lease.node.id != self._node.id or (before is not None and before.node_id == self._node.id):
            return lease
        self.redis.counter += 1
        minted = lease._replace(epoch=self.redis.counter)
        self._table.leases[session] = Row(self._node.id, minted.epoch)
        self._fence.hold(minted)
        return minted


class EarlyReading(Opening):
    """Reads before its marker."""

    async def replayed(self, link: Sender) -> Mirror:
        early = await link.ask("XRANGE", self.key, "-", "+", "COUNT", 1000)
        mirror = await super().replayed(link)
        newest = early[-1][0] if early else b"0-0"
        late = self._new_mirror(self.epoch)
        for place, fields in early:
            late.replay(Place.parse(place), fields[0], fields[1])
        late.replayed(Place.parse(newest) if early else None)
        return late if mirror.head > late.head else mirror


class ReadsFirst(SharedLogs):
    """A new owner reads the log before its marker: what comes in between is nobody's."""

    opening = EarlyReading


class Impatient(SharedLogs):
    """What Redis has not acknowledged is shown after a second, with or without it."""

    def __init__(self, url: str, **kwargs: Any) -> None:
        super().__init__(url, **{**kwargs, "patience": 1.0})


class EndsNothing(NodeHistory):
    """A new owner leaves alone what the old one has begun."""

    async def interrupt(
        self,
        session_id: str,
        left: Sequence[Unfinished],
        seen: Sequence[Seen] = (),
        *,
        goes_on: str | None = None,
    ) -> int:
        del session_id, left, seen, goes_on
        return 0


class KnowsTheEnd(Shared):
    """A new owner ends the answer as interrupted, whatever the history says."""

    async def _missing(
        self,
        session_id: str,
        answers: Sequence[AnswerView],
        left: Sequence[Unfinished],
        goes_on: str | None = None,
    ) -> list[Event | Tail | GoesOn]:
        del session_id, left
        return [GoesOn(goes_on)] if goes_on is not None and answers and answers[-1].end is None else []


class Culprit(NamedTuple):
    """One mistake, who makes it, where, and what it breaks."""

    mistake: str
    parts: Parts
    scenario: NodesScenario
    breaks: frozenset[int]


CULPRITS = [
    Culprit("an append without epoch", Parts(redis=TakesAnything), BY_NAME["forced"], frozenset({1, 2})),
    Culprit(
        "a takeover without a marker",
        Parts(logs=WithoutMarker),
        BY_NAME["forced-and-asked"],
        frozenset({1, 2, 3}),
    ),
    Culprit(
        "showing before the acknowledgement",
        Parts(logs=ShowsAtOnce),
        BY_NAME["forced-in-the-middle"],
        frozenset({2, 3}),
    ),
    Culprit(
        "a lost reply that is taken for an acknowledgement",
        Parts(logs=TrustsRedis),
        BY_NAME["redis-breaks-and-forced"],
        frozenset({2, 3}),
    ),
    Culprit(
        "a lease by clock alone",
        Parts(history=BelievesItsClock),
        BY_NAME["paused-and-back"],
        frozenset({4, 5, 6}),
    ),
    Culprit(
        "a lease that is counted from the reply",
        Parts(membership=CountsFromTheReply),
        BY_NAME["slow-renewal"],
        frozenset({8}),
    ),
    Culprit(
        "a lease that is believed although its node expired meanwhile",
        Parts(ownership=TakesForGranted),
        BY_NAME["slow-acquisition"],
        frozenset({8}),
    ),
    Culprit(
        "a hint as the only copy of a prompt",
        Parts(history=OnlyHinted),
        BY_NAME["killed-in-the-middle"],
        frozenset({5}),
    ),
    Culprit(
        "a fence minted in Redis", Parts(leases=MintsInRedis), BY_NAME["redis-forgets"], frozenset({0, 1, 2})
    ),
    Culprit(
        "a log that is read before its marker",
        Parts(logs=ReadsFirst),
        BY_NAME["forced-in-the-middle"],
        frozenset({2, 3, 4}),
    ),
    Culprit(
        "a gap that is shown after a time", Parts(logs=Impatient), BY_NAME["slow-redis"], frozenset({2, 3})
    ),
    Culprit("a takeover that ends nothing", Parts(history=EndsNothing), BY_NAME["forced"], frozenset({5, 6})),
    Culprit(
        "an end that asks no history",
        Parts(estate=KnowsTheEnd),
        BY_NAME["killed-at-the-end"],
        frozenset({6}),
    ),
]
