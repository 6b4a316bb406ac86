"""Users who send prompts, newer prompts before the answer has come, and stops; all at random, to any node."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from tests.cluster.chaos.address import Address, Answer
from tests.cluster.chaos.records import Asked
from tests.cluster.harness.node import NodeProcess

PAUSES = (0.2, 3.0)  # s between two acts of a user
ACTS = {"ask": 60, "stop": 10, "stop all": 5, "nothing": 25}
FINE = (200, 201, 204, 404, 409, 429)


class User:
    """One user with some sessions. What is accepted goes to `asked`; answers that must not be to `wrong`."""

    def __init__(
        self,
        name: str,
        sessions: list[str],
        address: Address,
        asked: list[Asked],
        wrong: Callable[[str], None],
    ) -> None:
        self._sessions = sessions
        self.address = address
        self._asked = asked
        self._wrong = wrong
        self._dice = random.Random(name)
        self._newest: dict[str, str] = {}  # the newest stream of a session

    async def live(self) -> None:
        """Do one thing after another, until cancelled."""
        while True:
            await asyncio.sleep(self._dice.uniform(*PAUSES))
            session = self._dice.choice(self._sessions)
            act = self._dice.choices(list(ACTS), list(ACTS.values()))[0]
            if act == "ask":
                await self.ask(session)
            elif act == "stop" and session in self._newest:
                await self._done("DELETE", f"/api/streams/{self._newest[session]}")
            elif act == "stop all":
                await self._done("DELETE", f"/api/sessions/{session}/stream")

    async def ask(
        self,
        session: str,
        *,
        tokens: int | None = None,
        first: NodeProcess | None = None,
        within: float = 30.0,
    ) -> Answer:
        """Send a prompt; return the answer."""
        count = tokens if tokens is not None else self._dice.randint(5, 80)
        body: dict[str, Any] = {
            "prompt": f"session={session} tokens={count} pace={self._dice.uniform(0.02, 0.1):.3f}"
        }
        if tokens is None and self._dice.random() < 0.15:
            body["if_active"] = self._dice.choice(["enqueue", "reject"])
        key = f"key-{self._dice.getrandbits(64):x}"
        path = f"/api/sessions/{session}/streams"
        answer = await self.address.send("POST", path, body=body, key=key, first=first, within=within)
        if answer.status in (200, 201) and "stream_id" in answer.body:
            self._newest[session] = answer.body["stream_id"]
            self._asked.append(Asked(session, answer.body["stream_id"]))
        elif answer.status not in FINE:
            self._wrong(_told("POST", path, answer))
        return answer

    async def _done(self, method: str, path: str) -> None:
        answer = await self.address.send(method, path)
        if answer.status not in FINE:
            self._wrong(_told(method, path, answer))


def _told(method: str, path: str, answer: Answer) -> str:
    """Return an answer that must not be, in words. None at all in this time is one, too: no fault lasts for so long."""
    if not answer.status:
        return f"{method} {path}: no node accepted it"
    return f"{method} {path}: {answer.status} {answer.body}"
