"""Which sessions this node owns: how it gets them, how it notices that it lost them, and how it gives them up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from app.chat.errors import HistoryUnavailable, LeaseLost
from app.chat.ports import Logger
from app.cluster.ports import UNOWNED, Estate, Lease, Leases, Node, Settled
from app.streams.registry import Registry
from app.tasks.reports import report

KEPT_SECONDS = 60.0  # for which a session is owned that nobody uses
AT_ONCE = 16  # sessions that are given up at the same time
TAKEN_AT_ONCE = 64  # sessions of a dead node that are taken over at the same time, in shared transactions
MOST_AT_ONCE = 1000  # the same when each waits for its answer to end


class Held(NamedTuple):
    """A session that this node owns."""

    lease: Lease
    since: float  # loop time of its last use


class Figures:
    """Counters of a node, from its start on."""

    def __init__(self) -> None:
        self.takeovers = 0  # sessions taken by force, or with unfinished answers
        self.interrupted = 0  # answers that were ended for another node
        self.losses = 0  # sessions that another node took

    def __repr__(self) -> str:
        return f"<Figures takeovers={self.takeovers} interrupted={self.interrupted} losses={self.losses}>"


class Ownership:
    """The leases that this node holds. Whether one is held is known without I/O; taking one is a transaction.

    `taken` is called with each lease that was another node's before.
    """

    def __init__(
        self,
        *,
        leases: Leases,
        estate: Estate,
        registry: Registry,
        node: Node,
        logger: Logger,
        taken: Callable[[Lease], None],
    ) -> None:
        self.node = node
        self.claiming = False  # on from when the node has joined until it leaves
        self.sure_until = 0.0  # loop time up to which no other node can have taken an expired lease
        self.confirmed_until = 0.0  # loop time at which a renewal has certainly failed since
        self.figures = Figures()
        self._leases = leases
        self._estate = estate
        self._registry = registry
        self._logger = logger
        self._taken = taken
        self._held: dict[str, Held] = {}
        self._taking: dict[
            str, int
        ] = {}  # epochs of sessions that are being opened, as long as they are not lost
        self._lost: dict[
            str, int
        ] = {}  # epochs of sessions that were given up for lost; the database may disagree
        self._busy: dict[str, asyncio.Task[Lease | None]] = {}  # sessions that are being taken or given up
        self._waiting_orphans = 0  # whose log is away
        self._giving: set[asyncio.Task[None]] = set()  # those that wait for their turn, too
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Ownership {self.node.id} held={len(self._held)}>"

    def __len__(self) -> int:
        """Number of sessions that this node owns."""
        return len(self._held)

    @property
    def is_sure(self) -> bool:
        """Whether this node has been renewed in time, by its own clock."""
        return self._loop.time() < self.sure_until

    @property
    def is_confirmed(self) -> bool:
        """Whether the last renewal has succeeded, by this node's own clock."""
        return self._loop.time() < self.confirmed_until

    def holds(self, session_id: str, epoch: int | None = None) -> bool:
        """Return whether this node owns the session now (under this epoch). Without I/O."""
        held = self._held.get(session_id)
        return held is not None and self.is_sure and epoch in (None, held.lease.epoch)

    def epochs(self) -> dict[str, int]:
        """Return the sessions of this node with their epochs, also of those that it is opening."""
        return self._taking | {session_id: held.lease.epoch for session_id, held in self._held.items()}

    def _epoch(self, session_id: str) -> int | None:
        held = self._held.get(session_id)
        return held.lease.epoch if held is not None else self._taking.get(session_id)

    async def find(self, session_id: str) -> Lease | None:
        """Return the session's lease without taking it; `None` if nobody owns it. Raises `HistoryUnavailable`."""
        held = self._held.get(session_id)
        return held.lease if held is not None and self.is_sure else await self._leases.find(session_id)

    # ---- taking ----------------------------------------------------------------------------------------------

    async def owner(self, session_id: str, *, over: int | None = None, avoid: Collection[str] = ()) -> Lease:
        """Return the lease of a session, after taking it if that is possible. `over` is the epoch to take it from.

        A node that leaves, or is not sure of its own leases, takes nothing: then the lease of a free session names
        another node and the epoch `UNOWNED`. Nodes to `avoid` are named if there are no others. Raises
        `HistoryUnavailable`.
        """
        while True:
            if (busy := self._busy.get(session_id)) is not None:
                await asyncio.wait({busy})
                if isinstance(error := _error_of(busy), HistoryUnavailable):
                    raise error  # else those who wait would try it one after the other
            elif (held := self._held.get(session_id)) is not None and self.is_sure:
                self._held[session_id] = held._replace(since=self._loop.time())
                return held.lease
            elif not (self.claiming and self.is_sure):
                try:
                    return await self._elsewhere(session_id, avoid)
                except LeaseLost:
                    raise
                except HistoryUnavailable:
                    held = self._held.get(session_id)
                    if held is None or not self._runs(session_id):
                        raise
                    # Without PostgreSQL its answer goes on here as long as the log takes it, so it can be stopped here.
                    return held.lease
            else:
                taking = self._work(f"take {session_id}", (session_id,), self._take(session_id, over))
                lease = await asyncio.shield(taking)
                if lease is not None:
                    return lease

    async def log_ready(self, session_id: str) -> None:
        """Return once the session's log could be opened here. Raises `LogUnavailable` after a bound."""
        await self._estate.ready(session_id)

    async def own(self, session_id: str) -> None:
        """Return once this node owns the session. Raises `LeaseLost` if another one does, and `HistoryUnavailable`."""
        if (await self.owner(session_id)).node.id != self.node.id:
            raise LeaseLost

    def _work(
        self, name: str, sessions: Sequence[str], work: Coroutine[Any, Any, Lease | None]
    ) -> asyncio.Task[Lease | None]:
        """Do something with sessions while nothing else is done with their leases."""
        task = self._loop.create_task(work, name=name)
        for session_id in sessions:
            self._busy[session_id] = task
        task.add_done_callback(lambda done: self._worked(sessions, done))
        return task

    def _worked(self, sessions: Sequence[str], task: asyncio.Task[Lease | None]) -> None:
        for session_id in sessions:
            if self._busy.get(session_id) is task:
                del self._busy[session_id]
        # Whoever asked may be gone, so an unexpected error is reported here.
        error = _error_of(task)
        if isinstance(error, Exception) and not isinstance(error, HistoryUnavailable):
            report("a lease could not be taken or given up", error)

    async def _elsewhere(self, session_id: str, avoid: Collection[str]) -> Lease:
        lease = await self._leases.find(session_id)
        if lease is not None and lease.alive:
            if lease.node.id != self.node.id:
                return lease
            if session_id in self._held or session_id in self._busy:
                raise LeaseLost  # it is not given up yet, so no other node can take it
            await asyncio.shield(self._released(lease))
        others = [node for node in await self._leases.nodes() if node.id != self.node.id]
        if not others:
            raise HistoryUnavailable("The server is starting or shutting down. Try again in a moment.")
        likely = [node for node in others if node.id not in avoid] or others
        return Lease(session_id, random.choice(likely), UNOWNED, True)  # noqa: S311 - any of them will do

    async def _take(self, session_id: str, over: int | None) -> Lease:
        sure_until = self.sure_until
        lease = await self._of_another(session_id, over) or await self._acquired(session_id, over)
        held = self._held.get(session_id)
        if held is not None and (held.lease.node.id, held.lease.epoch) != (lease.node.id, lease.epoch):
            self.lose(session_id)
        if lease.node.id == self.node.id:
            if session_id not in self._held:
                await self._settle(lease, sure_until, forced=over is not None and lease.epoch == over + 1)
            self._held[session_id] = Held(lease, self._loop.time())
            # At once, so that whoever has waited for the session finds it running: a stop, or the same prompt again.
            self._estate.go_on(session_id)
        return lease

    async def _of_another(self, session_id: str, over: int | None) -> Lease | None:
        """While nothing can be opened: return the lease of another node that lives. Raises `HistoryUnavailable`."""
        if self._estate.is_ready(session_id):
            return None
        lease = await self._leases.find(session_id)
        if lease is not None and lease.alive and lease.node.id != self.node.id and lease.epoch != over:
            return lease
        await self._estate.ready(
            session_id
        )  # before the session is taken: else each attempt would be a change of owner
        return None

    async def _acquired(self, session_id: str, over: int | None) -> Lease:
        lease = await self._leases.acquire(session_id, over=over)
        if lease.node.id == self.node.id and self._lost.get(session_id) == lease.epoch:
            # Nobody took it meanwhile. Its answers were cut off here, as if by another node, so they are ended as such.
            await self._leases.release(lease, unfinished=True)
            lease = await self._leases.acquire(session_id)
        self._lost.pop(session_id, None)
        return lease

    async def _settle(self, lease: Lease, sure_until: float, *, forced: bool) -> None:
        """Make the session this node's: open its log, and settle what another node left unfinished."""
        try:
            settled = await self._opened(lease, sure_until)
        except BaseException:
            # Else the others would send their requests here. It has not been looked after yet.
            await self._release(lease, unfinished=lease.epoch > 1)
            raise
        interrupted, goes_on = settled
        if interrupted or goes_on is not None or forced:
            self.figures.takeovers += 1
            self.figures.interrupted += interrupted
            self._logger.warning(
                "session_taken_over",
                session=lease.session,
                epoch=lease.epoch,
                interrupted=interrupted,
                forced=forced,
                **({} if goes_on is None else {"goes_on": goes_on}),
            )
        if lease.epoch > 1:
            self._taken(lease)

    async def _opened(self, lease: Lease, sure_until: float) -> Settled:
        """See `Estate.take`. Raises `LeaseLost` also if this node hears meanwhile that the lease is another one's.

        `sure_until` was there before the lease was asked for.
        """
        self._taking[lease.session] = lease.epoch
        try:
            settled = await self._estate.take(lease)
            await self._confirm(lease, sure_until)
        finally:
            is_lost = self._taking.pop(lease.session, None) is None
        if is_lost:
            raise LeaseLost
        return settled

    async def _confirm(self, lease: Lease, sure_until: float) -> None:
        """Raise `LeaseLost` if another node took the session while it was being taken here.

        It can have if this node expired meanwhile. A renewal since then may not have asked for this session: the reply
        which says that it is this node's may have come later.
        """
        while self.is_sure and self._loop.time() >= sure_until:
            sure_until = self.sure_until
            found = await self._leases.find(lease.session)
            if found is None or (found.node.id, found.epoch) != (self.node.id, lease.epoch):
                raise LeaseLost

    async def _release(self, lease: Lease, *, unfinished: bool) -> None:
        self._estate.lose(lease.session, lease.epoch)
        try:
            await self._leases.release(lease, unfinished=unfinished)
        except HistoryUnavailable as error:
            # A later sweep finds the lease, or it expires with this node. Its epoch opens no log again.
            self._lost[lease.session] = lease.epoch
            self._logger.warning("lease_not_released", session=lease.session, error=str(error))

    # ---- losing ----------------------------------------------------------------------------------------------

    def heard(self, session_id: str, epoch: int) -> None:
        """Another node says that it owns a session under this epoch. A hint: a wrong one costs a reconnection."""
        mine = self._epoch(session_id)
        if mine is not None and mine < epoch:
            self.lose(session_id)

    def fenced(self, session_id: str, epoch: int) -> None:
        """The database refused a write under this epoch."""
        if self._epoch(session_id) == epoch:
            self.lose(session_id)

    def lose(self, session_id: str) -> None:
        """The session belongs to another node: stop its models and end its viewers' responses. Synchronous.

        If it is being opened, it is given up instead of being held.
        """
        self._taking.pop(session_id, None)
        held = self._held.pop(session_id, None)
        if held is not None:
            self.figures.losses += 1
            self._lost[session_id] = held.lease.epoch
            self._logger.warning("session_lost", session=session_id, epoch=held.lease.epoch)
            self._estate.lose(session_id, held.lease.epoch)
            self._registry.abandon(session_id)

    def lose_unlogged(self) -> bool:
        """Lose the sessions whose log is away: others may own them, and it does not refuse what this node writes.

        Return whether there were any.
        """
        lost = [session_id for session_id in self.epochs() if not self._estate.is_ready(session_id)]
        for session_id in lost:
            self.lose(session_id)
        return bool(lost)

    async def check(self) -> None:
        """Ask which sessions were lost, and lose them. Raises `HistoryUnavailable`."""
        mine = self.epochs()
        for session_id in await self._leases.lost(mine) if mine else ():
            self.fenced(session_id, mine[session_id])

    # ---- giving up -------------------------------------------------------------------------------------------

    async def give(self, session_id: str, *, wait: float = 0.0, idle: bool = False) -> None:
        """Give a session up after ending its answers, which have `wait` seconds for it. Raises `HistoryUnavailable`.

        Another node looks after what was interrupted by this. With `idle` it is kept if anything is going on in it.
        """
        await self._apart(f"giving {session_id}", self._give_in_turn(session_id, wait, idle))

    async def _apart(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Give up in a task of the node: it goes on if the caller is cancelled."""
        giving = self._loop.create_task(work, name=name)
        self._giving.add(giving)
        giving.add_done_callback(self._gave)
        await asyncio.shield(giving)

    def _gave(self, giving: asyncio.Task[None]) -> None:
        self._giving.discard(giving)
        _error_of(giving)  # whoever asked may be gone; `_worked` has reported it

    async def _give_in_turn(self, session_id: str, wait: float, idle: bool) -> None:
        # No prompt is being admitted meanwhile: it would be stored, and then find that its session has moved. Whoever
        # admits one waits for its lease within the gate, so the gate comes first here, too.
        async with self._registry.gate(session_id):
            while (busy := self._busy.get(session_id)) is not None:
                await asyncio.wait({busy})
            held = self._held.get(session_id)
            if held is not None and not (idle and self._works(session_id)):
                await self._work(f"give {session_id}", (session_id,), self._give(held.lease, wait))

    async def _give(self, lease: Lease, wait: float) -> None:
        ended = await self._registry.retire(lease.session, wait=wait)
        await self._estate.settle()
        if self._held.pop(lease.session, None) is not None:
            self._registry.abandon(lease.session)  # who waits for its first prompt, or has come since
            await self._release(lease, unfinished=ended > 0 or self._estate.works_on(lease.session))

    async def give_idle(self) -> bool:
        """Give up the sessions in which nothing goes on; return whether none is left. Raises `HistoryUnavailable`."""
        idle = [session_id for session_id in self._held if not self._works(session_id)]
        for first in range(0, len(idle), MOST_AT_ONCE):
            await self._apart("giving idle sessions", self._give_idle(idle[first : first + MOST_AT_ONCE]))
        return not (self._held or self._busy)

    async def _give_idle(self, sessions: Iterable[str]) -> None:
        async with AsyncExitStack() as gates:
            leases = []
            for session_id in sessions:
                gate = self._registry.gate(session_id)
                if gate.locked():
                    continue  # a prompt is being admitted; another look finds the session
                await gates.enter_async_context(gate)  # somebody may come first
                held = self._held.get(session_id)
                if held is not None and session_id not in self._busy and not self._works(session_id):
                    leases.append(held.lease)
            if leases:
                ids = [lease.session for lease in leases]
                await self._work("give idle sessions", ids, self._give_together(leases))

    async def _give_together(self, leases: Sequence[Lease]) -> None:
        """Give up sessions in which nothing runs: there may be thousands, so they share their statements."""
        for lease in leases:
            await self._registry.retire(lease.session, wait=0.0)
        await self._estate.settle()
        given = [lease for lease in leases if self._held.pop(lease.session, None) is not None]
        for lease in given:
            self._registry.abandon(lease.session)
            self._estate.lose(lease.session, lease.epoch)
        try:
            await self._leases.release_all(given)
        except HistoryUnavailable as error:
            self._logger.warning("leases_not_released", sessions=len(given), error=str(error))

    async def one_ended(self, timeout: float) -> None:
        """Return when an answer of this node has ended, or after `timeout` seconds."""
        sessions = [self._registry.find(session_id) for session_id in self._held]
        running = [session.running for session in sessions if session is not None]
        ends = [stream.ended for stream in running if stream is not None]
        if ends:
            await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(timeout)  # a session is being taken or given up

    async def give_all(self, *, wait: float) -> None:
        """Give everything up; running answers have `wait` seconds to end. Raises `HistoryUnavailable`.

        They do not wait for the idle sessions, however many there are.
        """
        working = [session_id for session_id in self._held if self._works(session_id)]
        both = self._give_each(working, wait=wait), self.give_idle()
        for result in await asyncio.gather(*both, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        await self._give_each(tuple(self._held), wait=wait)  # a prompt was being admitted, or a session taken

    def _runs(self, session_id: str) -> bool:
        session = self._registry.find(session_id)
        return session is not None and session.running is not None

    def _works(self, session_id: str) -> bool:
        return self._runs(session_id) or self._estate.works_on(session_id)

    async def _give_each(self, sessions: Iterable[str], *, wait: float = 0.0, idle: bool = False) -> None:
        turns = asyncio.Semaphore(AT_ONCE if wait == 0 else MOST_AT_ONCE)

        async def give(session_id: str) -> None:
            async with turns:
                await self.give(session_id, wait=wait, idle=idle)

        gifts = [give(session_id) for session_id in sessions]
        for error in await asyncio.gather(*gifts, return_exceptions=True):
            if isinstance(error, BaseException):
                raise error

    async def sweep(self) -> None:
        """Give up the sessions that nobody has used for a while, and leases that this node does not know to have.

        Raises `HistoryUnavailable`.
        """
        unused = [session_id for session_id in self._held if not self._is_used(session_id)]
        for first in range(0, len(unused), AT_ONCE):
            some = unused[first : first + AT_ONCE]
            await self._give_each(
                (session_id for session_id in some if not self._is_used(session_id)), idle=True
            )
        await self.release_unknown()

    async def release_unknown(self) -> None:
        """Give up the leases that this node does not know to have. Raises `HistoryUnavailable`."""
        mine = await self._leases.mine()
        for session_id in self._lost.keys() - {lease.session for lease in mine}:
            del self._lost[session_id]
        for first in range(0, len(mine), AT_ONCE):
            releasing = [
                self._released(lease)
                for lease in mine[first : first + AT_ONCE]
                if lease.session not in self._held and lease.session not in self._busy
            ]
            if releasing:
                await asyncio.wait(releasing)

    def _is_used(self, session_id: str) -> bool:
        held = self._held.get(session_id)
        before = self._loop.time() - KEPT_SECONDS
        if held is None or held.since >= before:
            return True
        return self._registry.is_used(session_id) or self._estate.works_on(session_id)

    def _released(self, lease: Lease) -> asyncio.Task[Lease | None]:
        return self._work(f"release {lease.session}", (lease.session,), self._release_unknown(lease))

    async def _release_unknown(self, lease: Lease) -> None:
        """A reply was lost, or a session could not be opened and not be released, or was given up for lost."""
        cut_off = self._lost.get(lease.session) == lease.epoch
        await self._release(lease, unfinished=lease.epoch > 1 or cut_off)

    # ---- dead nodes ------------------------------------------------------------------------------------------

    async def reap(self, limit: int) -> int:
        """Take over what expired nodes owned; return how many sessions. Raises `HistoryUnavailable`.

        Those whose log is away wait until it is back. They hold up no others.
        """
        if not (self.claiming and self.is_sure):
            return 0
        found = await self._leases.orphans(limit + self._waiting_orphans)
        orphans = [orphan for orphan in found if self._estate.is_ready(orphan.session)]
        self._waiting_orphans = len(found) - len(orphans)
        random.shuffle(orphans)  # so that the nodes do not begin with the same ones
        reaped = 0
        for first in range(0, len(orphans), TAKEN_AT_ONCE):
            group = [self.owner(orphan.session) for orphan in orphans[first : first + TAKEN_AT_ONCE]]
            for result in await asyncio.gather(*group, return_exceptions=True):
                if isinstance(result, Lease):
                    reaped += result.node.id == self.node.id
                elif isinstance(result, HistoryUnavailable):
                    self._logger.warning("session_not_taken_over", error=str(result))
                else:
                    raise result
        return reaped


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what an ended task has raised, but for its cancellation."""
    return None if task.cancelled() else task.exception()
