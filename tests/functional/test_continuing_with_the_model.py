"""The real model goes on with an answer that was stopped, as if it never had been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.client import Client
from tests.support.server import serve

PROMPT = "Explain in a list why rivers are useful."
ALIKE: dict[str, Any] = {
    "model": "embedded/smollm2-135m",
    "options": {"temperature": 0, "seed": 1, "max_tokens": 60},
}


async def answer(client: Client, session_id: str) -> dict[str, Any]:
    """The answer in a session."""
    found: dict[str, Any] = (await client.get(f"/api/sessions/{session_id}"))["messages"][1]
    return found


async def test_a_stopped_answer_goes_on_to_the_letter(tmp_path: Path) -> None:
    """Stopped in the middle and continued, with the same seed and no chance, it has the words of the unbroken one."""
    async with serve(tmp_path, embedded=True) as live:
        await live.client.ask("whole", PROMPT, **ALIKE)
        whole = (await answer(live.client, "whole"))["content"]
        posted = await live.client.post("broken", PROMPT, **ALIKE)
        tokens = 0
        async with live.client.events(posted["events_url"]) as events:
            async for event in events:
                tokens += event.data.get("count", 0)
                if tokens >= 15:
                    break
        assert (await live.client.stop(posted["stream_id"]))["outcome"] == "stopped"
        half = await answer(live.client, "broken")
        assert whole.startswith(half["content"])
        assert 0 < len(half["content"]) < len(whole)
        again = await live.client.register("broken", **{"continue": half["message_id"]}, **ALIKE)
        await live.client.read_stream(again["stream_id"])
        joined = await answer(live.client, "broken")
    assert joined["content"].startswith(whole)
    assert (joined["message_id"], joined["outcome"]) == (half["message_id"], "complete")
