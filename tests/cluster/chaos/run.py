"""A run of chaos: load, faults one after another, then rest, and the check of all that was recorded."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import redis.asyncio

from app.log.shared.shared_logs import key_of
from tests.cluster.chaos.address import Address
from tests.cluster.chaos.checker import Found, check, check_lines
from tests.cluster.chaos.faults import FAULTS, REFUSING, TAKEOVERS
from tests.cluster.chaos.records import Asked, Log, Seen, Stored, log_of
from tests.cluster.chaos.users import User
from tests.cluster.chaos.viewers import Viewer, first_token
from tests.cluster.harness.node import NodeProcess
from tests.cluster.harness.running import SUPERSEDE_TIMEOUT, RunningCluster
from tests.support.lag import lag
from tests.support.waiting import until_told

PROBES = 3  # sessions of the struck node that are sent a prompt at once
FIRST_TOKEN_SECONDS = 30.0  # at most, of such a prompt
REST_SECONDS = 30.0
LINES_SECONDS = 5.0  # for the last log lines
USERS = 12


class Size(NamedTuple):
    """How much happens in a run."""

    sessions: int
    viewers: int
    strikes: int  # of each fault
    most: float  # s that a fault lasts, at most


@dataclass
class Result:
    """What a run has shown."""

    faults: int = 0
    found: Found = field(default_factory=Found)
    takeovers: list[float] = field(
        default_factory=list
    )  # s from the prompt to its first token, where nothing failed
    prompts: int = 0
    tokens: int = 0  # that viewers saw
    resets: int = 0
    continued: int = 0  # answers that went on in the same message
    refused: Counter[str] = field(
        default_factory=Counter
    )  # requests that all nodes refused at once, by fault
    overlaps_upstream: int = (
        0  # sessions that the model server saw twice at once: a fenced owner that had not noticed
    )
    wrong: list[str] = field(default_factory=list)
    late: float = (
        0.0  # s that this process was woken late at worst: all ways between nodes and engines lead through it
    )

    @property
    def problems(self) -> list[str]:
        """All that must not be, in words."""
        refused = [
            f"all nodes refused a request, {count} times: {fault or 'no fault'}"
            for fault, count in self.refused.items()
            if fault not in REFUSING
        ]
        return [*self.found.details, *self.wrong, *refused]


class Chaos:
    """One run on a cluster. `kinds` are the faults, each of them as often as `size` says."""

    def __init__(
        self, cluster: RunningCluster, kinds: Sequence[str], size: Size, seed: str, *, prefix: str = "c"
    ) -> None:
        self.result = Result()
        self._cluster = cluster
        self._kinds = kinds
        self._size = size
        self._seed = seed
        self._dice = random.Random(seed)
        self._sessions = [f"{prefix}{number}" for number in range(size.sessions)]
        self._asked: list[Asked] = []
        self._viewers: list[Viewer] = []

    async def run(self) -> Result:
        """Run it to its end."""
        loop = asyncio.get_running_loop()
        said = {node: node.said for node in self._cluster.nodes}
        async with lag() as late, Address(self._cluster.nodes, random.Random(self._seed)) as address:
            user = User("probe", self._sessions, address, self._asked, self.result.wrong.append)
            async with self._watched(address), self._used(address):
                await self._sent_everywhere(user)
                began = loop.time()
                for _ in range(self._size.strikes):
                    for kind in self._dice.sample(self._kinds, len(self._kinds)):
                        address.struck(kind)
                        await self._strike(kind, user)
                self._say(f"{self.result.faults} faults in {loop.time() - began:.0f} s")
            self.result.refused, self.result.late = address.refused, late[0]
        self.result.found.merge(await self._audited(said))
        return self.result

    # ---- load ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _watched(self, address: Address) -> AsyncIterator[None]:
        """Viewers for the length of the block, and the check when it ends, before they leave."""
        for number in range(self._size.viewers):
            session = self._sessions[number % len(self._sessions)]
            viewer = Viewer(f"viewer {number}", session, address, self._noticed, restless=number % 2 == 0)
            self._viewers.append(viewer)
        async with _tasks([viewer.watch() for viewer in self._viewers]):
            yield
            await self._rest(address)
        await self._judge(address)

    @asynccontextmanager
    async def _used(self, address: Address) -> AsyncIterator[None]:
        users = [
            User(
                f"user {number}",
                self._sessions[number::USERS],
                address,
                self._asked,
                self.result.wrong.append,
            )
            for number in range(min(USERS, len(self._sessions)))
        ]
        async with _tasks([user.live() for user in users]):
            yield

    async def _sent_everywhere(self, user: User) -> None:
        """Give each session its first prompt."""
        await asyncio.gather(*(user.ask(session) for session in self._sessions))

    def _noticed(self, seen: Seen) -> None:
        if seen.piece.name == "token":
            self.result.tokens += seen.pieces

    # ---- faults ----------------------------------------------------------------------------------------------

    async def _strike(self, kind: str, user: User) -> None:
        owners = await self._cluster.owners()
        async with FAULTS[kind](self._cluster, self._dice, self._size.most) as struck:
            self.result.faults += 1
            hit = [
                session
                for session in self._sessions
                if struck.node is None or owners.get(session) == struck.node.number
            ]
            chosen = self._dice.sample(hit, min(PROBES, len(hit)))
            probes = [
                asyncio.create_task(self._probe(kind, session, user, user.address.any(but=struck.node)))
                for session in chosen
            ]
        await asyncio.gather(*probes)
        for node in self._cluster.nodes:
            await node.ready()

    async def _probe(self, kind: str, session: str, user: User, node: NodeProcess) -> None:
        """Send the newest prompt to a session that was hit, at a node, and take the time to its first token there."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await user.ask(session, tokens=10, first=node)
        if "stream_id" not in answer.body or answer.node is None:
            self.result.found.add("stuck", f"{kind}: {session} took no prompt: {answer.status}")
            return
        try:
            async with asyncio.timeout(FIRST_TOKEN_SECONDS):
                seen = await first_token(answer.node, answer.body["events_url"], user.address)
        except TimeoutError:
            self.result.found.add("stuck", f"{kind}: no token of {answer.body['stream_id']} in {session}")
            return
        if seen is not None and kind in TAKEOVERS:
            self.result.takeovers.append(seen - began)

    # ---- rest and check --------------------------------------------------------------------------------------

    async def _rest(self, address: Address) -> None:
        """Send each session a last prompt, and wait until all viewers have seen its end."""
        user = User("last", self._sessions, address, self._asked, self.result.wrong.append)
        last = await asyncio.gather(*(user.ask(session, tokens=3) for session in self._sessions))
        streams = {
            session: answer.body.get("stream_id")
            for session, answer in zip(self._sessions, last, strict=True)
        }
        for session, stream_id in streams.items():
            if stream_id is None:
                self.result.found.add("stuck", f"{session} takes no prompt at the end")

        def missing() -> list[Viewer]:
            return [
                viewer
                for viewer in self._viewers
                if (stream_id := streams[viewer.transcript.session]) and stream_id not in viewer.ended
            ]

        async def all_there() -> bool:
            return not missing()

        with suppress(TimeoutError):
            await until_told(all_there, within=REST_SECONDS)
        for viewer in missing():
            view = viewer.transcript
            self.result.found.add(
                "stuck", f"{view.viewer} of {view.session} never saw the end of {streams[view.session]}"
            )

    async def _judge(self, address: Address) -> None:
        result = self.result
        states = await self._states()
        asked = list({prompt.stream_id: prompt for prompt in self._asked}.values())
        for prompt in asked:
            prompt.message_id, prompt.outcome = states.get(prompt.stream_id, (None, None))
        transcripts = [viewer.transcript for viewer in self._viewers]
        result.found.merge(check(transcripts, await self._logs(), asked, await self._stored(address)))
        result.prompts = len(asked)
        result.resets = sum(len(transcript.resets) for transcript in transcripts)
        mine = set(self._sessions)
        result.overlaps_upstream = len(mine.intersection(self._cluster.model.ledger.overlaps))
        [[continued]] = await self._cluster.query(
            "SELECT count(DISTINCT message_id) FROM streams WHERE continues IS NOT NULL AND session_id = ANY($1)",
            self._sessions,
        )
        result.continued = continued

    async def _states(self) -> dict[str, tuple[str, str | None]]:
        """Return the message and the outcome of each stream, once the nodes have stored all ends."""
        states: dict[str, tuple[str, str | None]] = {}

        async def are_stored() -> bool:
            rows = await self._cluster.query(
                "SELECT stream_id, message_id, outcome FROM streams WHERE session_id = ANY($1)",
                self._sessions,
            )
            states.update((stream_id, (message_id, outcome)) for stream_id, message_id, outcome in rows)
            return all(outcome is not None for _, outcome in states.values())

        with suppress(TimeoutError):  # what is missing then is found
            await until_told(are_stored, within=REST_SECONDS)
        return states

    async def _logs(self) -> dict[str, Log]:
        client = redis.asyncio.Redis.from_url(self._cluster.valkey.url)
        logs = {}
        try:
            for session in self._sessions:
                entries: list[Any] = await client.xrange(key_of(session)) or []
                logs[session] = log_of([(place, next(iter(fields.items()))) for place, fields in entries])
        finally:
            await client.aclose()
        return logs

    async def _audited(self, said: dict[NodeProcess, int]) -> Found:
        """Return what the audit finds in the lines since the nodes had `said` so much. The last ones may come late."""
        found = Found()

        async def is_clean() -> bool:
            nonlocal found
            lines = {f"node-{node.number}": node.lines(since) for node, since in said.items()}
            found = await asyncio.to_thread(check_lines, lines, SUPERSEDE_TIMEOUT)
            return found.is_clean

        with suppress(TimeoutError):
            await until_told(is_clean, within=LINES_SECONDS)
        return found

    async def _stored(self, address: Address) -> list[Stored]:
        stored = []
        for session in self._sessions:
            answer = await address.send("GET", f"/api/sessions/{session}")
            messages = answer.body.get("messages", [])
            for message in messages:
                if message["role"] == "assistant":
                    newest = message is messages[-1]
                    outcome = message["outcome"]
                    stored.append(Stored(session, message["message_id"], message["content"], outcome, newest))
        return stored

    def _say(self, line: str) -> None:
        print(line, flush=True)


@asynccontextmanager
async def _tasks(runs: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run them for the length of the block. One that fails makes the block's end fail."""
    tasks = [asyncio.create_task(run) for run in runs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
