"""A chat is never stuck: a server with a strict chat template answers the prompt after any bad day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.chat.context import EMPTY
from tests.doubles.raw import RawDouble, response
from tests.support.server import serve

EVENTS = {
    "empty": 'data: {"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]}\n\n',
    "thoughts": 'data: {"choices": [{"delta": {"reasoning": "Hm."}, "finish_reason": "stop"}]}\n\n',
    "tool": 'data: {"choices": [{"delta": {"tool_calls": [{}]}, "finish_reason": "tool_calls"}]}\n\n',
    "error": 'data: {"error": {"message": "no luck"}}\n\n',
    "half": 'data: {"choices": [{"delta": {"content": "half"}}]}\n\n',
    "good": 'data: {"choices": [{"delta": {"content": "Good."}, "finish_reason": "stop"}]}\n\n',
}
LINES = {
    "empty": '{"message": {"content": ""}, "done": true, "done_reason": "stop"}\n',
    "thoughts": '{"message": {"content": "", "thinking": "Hm."}, "done": true}\n',
    "tool": '{"message": {"content": "", "tool_calls": [{}]}, "done": true}\n',
    "error": '{"error": "no luck"}\n',
    "half": '{"message": {"content": "half"}}\n',
    "good": '{"message": {"content": "Good."}, "done": true}\n',
}
DAYS = {
    "empty": "complete", "thoughts": "complete", "tool": "complete", "error": "failed", "half": "failed",
    "refused": "failed", "closed": "failed",
}  # fmt: skip


@pytest.mark.parametrize("backend", ["openai", "ollama"])
async def test_a_strict_server_answers_after_any_day(tmp_path: Path, backend: str) -> None:
    """After each kind of answer without a word, and after all of them in a row, a prompt gets its answer."""
    said = EVENTS if backend == "openai" else LINES
    async with RawDouble() as double:
        double.strict = True
        urls: dict[str, Any] = {"openai_url": double.url, "ollama_url": double.url}
        async with serve(tmp_path, scripted=False, **urls) as live:

            async def ask(session_id: str, day: str) -> str:
                double.pieces = []
                if day == "refused":
                    double.pieces = [response('{"detail": "no"}', status="400 Bad Request")]
                elif day != "closed":
                    double.pieces = [response(said[day])]
                events = await live.client.ask(session_id, f"A {day} day", model=f"{backend}/raw")
                return str(events[-1].data["outcome"])

            for day, outcome in DAYS.items():
                assert await ask(day, day) == outcome
                assert await ask(day, "good") == "complete"
                assert await ask("all", day) == outcome
            assert await ask("all", "good") == "complete"
            prompts = double.bodies[-1]["messages"]
            assert [each["content"] for each in prompts[:3]] == ["A empty day", EMPTY, "A thoughts day"]
            assert [message["role"] for message in prompts[1:]] == ["assistant", "user"] * (len(prompts) // 2)
            assert "refused" not in str(prompts)
            assert "A error day" not in str(prompts)
