"""One cell of the table: an answer that meets a fault, what is done to it, and the prompt that comes after."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.faults.acts import Act
from tests.faults.scenes import Scene
from tests.faults.watch import Watch, check
from tests.support.client import Client
from tests.support.sse import Event
from tests.support.waiting import until, until_told

SUPERSEDE_TIMEOUT = 0.5  # s, of the servers under test
SLACK = 2.0  # s, for a machine that is busy with other things


class Cell:
    """Plays one act in a session of its own. `seen` says how the faulty answer ended, once it has."""

    def __init__(self, scene: Scene, act: Act, client: Client) -> None:
        self.scene = scene
        self.act = act
        self.client = client
        self.session = f"{scene.backend}-{scene.expected.fault}-{act.name}".lower()
        self.seen = ""
        self._stream_id = ""
        self._loop = asyncio.get_running_loop()

    async def play(self) -> None:
        """Ask, act, see how it ends, and ask again. For every act but the shutdown."""
        try:
            async with asyncio.timeout(90):
                await self._play()
        except BaseException:
            await self.scene.give_up()
            raise

    async def _play(self) -> None:
        registered = await self.ask(self.scene.faulty(self.session))
        async with self.watch(registered["cursor"]) as watch:
            await self.under_way(watch)
            await self.scene.all_under_way()
            newest = await self._do(watch)  # by now, if that is what was done
            end = await watch.end(self._stream_id) if self.act is not Act.LEAVE else None
            await self._ended(end)
        async with self.watch(registered["cursor"]) as watch:
            await self._complete(watch, newest or await self._ask_newest(watch))
            check(watch.events)

    async def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """Register the faulty stream."""
        registered = await self.client.post(self.session, **body)
        assert registered["http"] == 201, registered
        self._stream_id = registered["stream_id"]
        return registered

    def watch(self, cursor: str) -> Watch:
        """A viewer of the session."""
        return Watch(self.client, self.session, cursor)

    async def under_way(self, watch: Watch) -> None:
        """Wait until the answer is where the fault has its effect, or over."""

        def speaks() -> bool:
            name = "token" if self.scene.expected.speaks else "status"
            return watch.has(self._stream_id, name) or watch.has(self._stream_id, "end")

        await until(speaks, within=60)

        async def met() -> bool:
            return watch.has(self._stream_id, "end") or await self.scene.open_in(self.session) > 0

        await until_told(met)

    def right(self, end: Event) -> None:
        """Check the `end` of the faulty answer."""
        data = end.data
        assert end.name == "end", f"{end} instead of an end"
        self.seen = " ".join(filter(None, [data["outcome"], data.get("error", {}).get("code")]))
        assert self.seen in self.scene.expected.ends(self.act), f"{self.session} ended {self.seen}"
        closes = self.scene.expected.closes or self.seen == self.scene.expected.natural
        assert data["upstream_closed"] is closes

    async def _do(self, watch: Watch) -> str | None:
        """Act. Returns the id of the newest stream if that is the act."""
        if self.act is Act.STOP:
            answer = await self.client.stop(self._stream_id, wait=5)
            assert answer["http"] == 200
        elif self.act is Act.SUPERSEDE:
            return await self._ask_newest(watch)
        elif self.act is Act.LEAVE:
            await watch.leave()
        return None

    async def _ended(self, end: Event | None) -> None:
        """The answer is over: in the log and in the state, which tell the same. Nobody needs to look on for that."""
        path = f"/api/streams/{self._stream_id}"

        async def has_ended() -> bool:
            return (await self.client.get(path))["outcome"] is not None

        await until_told(has_ended, within=20)
        state = await self.client.get(path)
        if end is None:
            end = (await self.client.read_stream(self._stream_id))[-1]
        self.right(end)
        for key in ("outcome", "tokens", "upstream_closed"):
            assert state[key] == end.data[key], key

    async def _ask_newest(self, watch: Watch) -> str:
        """Register the newest prompt, and see it reach the model within the bound."""
        began = self._loop.time()
        registered = await self.client.post(self.session, **self.scene.sound(self.session))
        assert registered["http"] == 201, registered
        stream_id: str = registered["stream_id"]
        await until(lambda: watch.has(stream_id, "status"), within=20)
        assert self._loop.time() - began < SUPERSEDE_TIMEOUT + SLACK
        return stream_id

    async def _complete(self, watch: Watch, stream_id: str) -> None:
        await self.scene.all_done()
        end = await watch.end(stream_id)
        assert (end.name, end.data["outcome"]) == ("end", "complete")
        self.scene.check_whole(end.data)
