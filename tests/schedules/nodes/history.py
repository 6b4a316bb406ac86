"""The history that the nodes share, behind the fence that each write passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from app.chat.errors import LeaseLost, StreamNotFound
from app.chat.ports import Options
from app.chat.records import Admission, Exchange, Seen, StreamState, Unfinished
from app.chat.states import Outcome, Status
from app.cluster.ports import Lease, Node
from app.history.fence import Fence
from app.history.memory import MemoryHistory
from tests.doubles.leases import LeaseTable, MemoryLeases, Row
from tests.schedules.nodes.engines import Redis, Statements, at_once


class SharedTruth:
    """What PostgreSQL has."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.leases = LeaseTable(now)
        self.history = MemoryHistory()
        self.exchanges: dict[str, Exchange] = {}  # by stream, in the order of their admission
        self.states: dict[str, StreamState] = {}
        self.forced = False  # whether a session was taken from a node that lived, perhaps
        self.taken_up: set[str] = set()  # streams that a new owner has started again
        self.halted: set[str] = set()  # streams that their user has stopped


class NodeLeases(MemoryLeases):
    """`Leases` whose every call is a statement."""

    redis: Redis  # for who would keep something of a lease there

    def __init__(self, truth: SharedTruth, statements: Statements, fence: Fence) -> None:
        super().__init__(truth.leases)
        self._truth = truth
        self._statements = statements
        self._fence = fence

    async def join(self, node: Node, ttl: float) -> None:
        self._node, self._ttl = node, ttl
        await super().renew()

    async def renew(self) -> bool:
        renew = super().renew
        was_alive: bool = await self._statements.ask("renew", lambda: at_once(renew()))
        return was_alive

    async def nodes(self) -> list[Node]:
        ask = super().nodes
        nodes: list[Node] = await self._statements.ask("nodes", lambda: at_once(ask()))
        return nodes

    async def acquire(self, session: str, *, over: int | None = None) -> Lease:
        take = super().acquire

        def work() -> Lease:
            row = self._truth.leases.leases.get(session)
            if over is not None and row is not None and row.epoch == over:
                self._truth.forced = True
            return at_once(take(session, over=over))

        lease: Lease = await self._statements.ask("acquire", work)
        if lease.node.id == self._fence.node_id:
            self._fence.hold(lease)
        return lease

    async def find(self, session: str) -> Lease | None:
        find = super().find
        lease: Lease | None = await self._statements.ask("find", lambda: at_once(find(session)))
        return lease

    async def lost(self, mine: Any) -> set[str]:
        ask = super().lost
        lost: set[str] = await self._statements.ask("lost", lambda: at_once(ask(mine)))
        return lost

    async def orphans(self, limit: int) -> list[Lease]:
        ask = super().orphans
        orphans: list[Lease] = await self._statements.ask("orphans", lambda: at_once(ask(limit)))
        return orphans


class NodeHistory:
    """A node's way to the truth. What is not here is read at once."""

    checks = True  # whether a write is refused that was made under an epoch which has passed

    def __init__(self, truth: SharedTruth, statements: Statements, fence: Fence) -> None:
        self._truth = truth
        self._statements = statements
        self._fence = fence
        self._epochs: dict[str, int | None] = {}  # under which a stream was admitted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._truth.history, name)

    def _pass(self, session_id: str, epoch: int | None) -> None:
        if self.checks and self._truth.leases.leases.get(session_id) != Row(self._fence.node_id, epoch or 0):
            raise LeaseLost

    async def admit(self, exchange: Exchange) -> Admission:
        session_id, stream_id = exchange.session_id, exchange.stream.stream_id
        epoch = self._fence.epoch(session_id)
        self._epochs[stream_id] = epoch

        def work() -> Admission:
            self._pass(session_id, epoch)
            self._truth.exchanges[stream_id] = exchange
            self._truth.states[stream_id] = exchange.stream
            return at_once(self._truth.history.admit(exchange))

        admission: Admission = await self._statements.ask("admit", work)
        return admission

    async def withdraw(self, stream_id: str) -> None:
        exchange = self._truth.exchanges[stream_id]

        def work() -> None:
            if self._truth.leases.leases.get(exchange.session_id) == Row(
                self._fence.node_id, self._epochs[stream_id] or 0
            ):
                del self._truth.exchanges[stream_id], self._truth.states[stream_id]
                at_once(self._truth.history.withdraw(stream_id))

        await self._statements.ask("withdraw", work)

    async def finish(self, state: StreamState, content: str, reasoning: str) -> None:
        """Queued, as by the product: nobody waits for it."""

        def work() -> None:
            self._pass(state.session_id, self._epochs[state.stream_id])
            self._truth.states[state.stream_id] = state
            at_once(self._truth.history.finish(state, content, reasoning))

        self._statements.ask("finish", work).add_done_callback(lambda done: done.exception())

    async def halt(self, session_id: str, stream_id: str | None = None) -> None:
        epoch = self._fence.epoch(session_id)

        def work() -> None:
            self._pass(session_id, epoch)
            at_once(self._truth.history.halt(session_id, stream_id))
            if stream_id is not None:
                self._truth.halted.add(stream_id)

        await self._statements.ask("halt", work)

    async def stream(self, owner: str, stream_id: str) -> StreamState:
        del owner

        def work() -> StreamState:
            if stream_id not in self._truth.states:
                raise StreamNotFound
            return self._truth.states[stream_id]

        state: StreamState = await self._statements.ask("read", work)
        return state

    async def unfinished(self, session_id: str, *, after: str | None = None) -> list[Unfinished]:
        def is_untold(stream_id: str) -> bool:
            streams = list(self._truth.exchanges)
            since = streams[streams.index(after) :] if after in streams else []
            return stream_id in since

        def work() -> list[Unfinished]:
            return [
                Unfinished(
                    exchange.owner,
                    session_id,
                    stream_id,
                    exchange.answer.message_id,
                    exchange.stream.model,
                    None,
                    Options(),
                    has_text=False,
                    created_at=exchange.created_at,
                    taken_up=stream_id in self._truth.taken_up,
                    halted=stream_id in self._truth.halted,
                    ended=self._truth.states[stream_id].outcome is not None,
                )
                for stream_id, exchange in self._truth.exchanges.items()
                if exchange.session_id == session_id
                and (self._truth.states[stream_id].outcome is None or is_untold(stream_id))
            ]

        left: list[Unfinished] = await self._statements.ask("unfinished", work)
        epoch = self._fence.epoch(session_id)
        return [stream for stream in left if self._epochs.get(stream.stream_id) != epoch]

    async def interrupt(
        self,
        session_id: str,
        left: Sequence[Unfinished],
        seen: Sequence[Seen] = (),
        *,
        goes_on: str | None = None,
    ) -> int:
        if not left:
            return 0  # nothing is written, so nothing is refused
        left = [each for each in left if each.stream_id != goes_on]
        epoch = self._fence.epoch(session_id)
        known = {one.stream_id: one for one in seen}

        def work() -> int:
            self._pass(session_id, epoch)
            if goes_on is not None:
                self._truth.taken_up.add(goes_on)
            for stream in left:
                state, one = self._truth.states[stream.stream_id], known.get(stream.stream_id)
                if state.outcome is not None:
                    continue
                ended = msgspec.structs.replace(
                    state,
                    status=Status.ENDED,
                    outcome=Outcome.INTERRUPTED,
                    tokens=0 if one is None else len(one.text),
                )
                if one is not None and one.end is not None:
                    ended = msgspec.structs.replace(ended, outcome=one.end.outcome)
                self._truth.states[stream.stream_id] = ended
                at_once(self._truth.history.finish(ended, str(one.text) if one else "", ""))
            return len(left)

        count: int = await self._statements.ask("interrupt", work)
        return count

    def works_on(self, session_id: str) -> bool:
        del session_id
        return False

    def take_up(self, exchange: Exchange) -> None:
        self._epochs[exchange.stream.stream_id] = self._fence.epoch(exchange.session_id)

    def lose(self, session_id: str, epoch: int) -> None:
        self._fence.drop(session_id, epoch)

    async def settle(self) -> None:
        await self._statements.ask("settle", lambda: None)
