"""Which requests of an owner take turns."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.web.output.turns import EACH
from tests.support.server import LiveServer, serve
from tests.support.waiting import stays, until

USER = "X-Forwarded-User"
MANY = 3 * EACH
# Method and path of a change, what it does in the server, and its body; a form is `data`.
CHANGES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "rename": ("PATCH", "/api/sessions/s", "history.rename", {"json": {"title": "A title"}}),
    "options": ("PATCH", "/api/sessions/s", "history.configure", {"json": {"options": {"temperature": 1}}}),
    "delete": ("DELETE", "/api/sessions/s", "delete_session", {}),
    "restore": ("POST", "/api/sessions/s/restore", "archives.restore", {}),
    "form: rename": ("POST", "/sessions/s/rename", "history.rename", {"data": {"title": "A title"}}),
    "form: delete": ("POST", "/sessions/s/delete", "delete_session", {"data": {}}),
    "form: restore": ("POST", "/sessions/s/restore", "archives.restore", {"data": {}}),
}


class Gate:
    """Holds up what goes through it, and counts what waits there, by owner."""

    def __init__(self, server: LiveServer, what: str, patch: pytest.MonkeyPatch) -> None:
        self.waiting: list[str] = []
        self.opened = asyncio.Event()
        *path, name = what.split(".")
        part: Any = server.registry
        for each in path:
            part = getattr(part, each)
        inner = getattr(part, name)

        async def held(owner: str, *of: Any, **how: Any) -> Any:
            self.waiting.append(owner)
            await self.opened.wait()
            return await inner(owner, *of, **how)

        patch.setattr(part, name, held)


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
async def test_the_changes_of_an_owner_are_made_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A few at a time, however many come at once. Somebody else's waits for none of them; nor does a stop."""
    method, path, what, body = CHANGES[change]
    async with (
        serve(tmp_path, auth="proxy", trusted_proxies=("127.0.0.1",)) as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        for user in ("alice", "bob"):
            prompt = {"prompt": "hello", "model": "scripted/short"}
            async with http.post(
                "/api/sessions/s/streams", json=prompt, headers={USER: user, "Accept": "text/event-stream"}
            ) as answer:
                assert b"event: end" in await answer.read()

        async def ask(user: str) -> None:
            headers = {USER: user, "Origin": server.url}
            async with http.request(method, path, headers=headers, allow_redirects=False, **body) as answer:
                await answer.read()

        gate = Gate(server, what, monkeypatch)
        asking = [asyncio.create_task(ask("alice")) for _ in range(MANY)]
        try:
            await until(lambda: len(gate.waiting) == EACH)
            asking.append(asyncio.create_task(ask("bob")))
            await until(lambda: len(gate.waiting) == EACH + 1)
            assert len(set(gate.waiting)) == 2
            async with http.delete("/api/sessions/s/stream", headers={USER: "alice"}) as stopped:
                assert stopped.status == 204  # nothing was running
            await stays(lambda: len(gate.waiting) == EACH + 1, during=0.1)
            gate.opened.set()
            await asyncio.gather(*asking)
            assert len(gate.waiting) == MANY + 1
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
