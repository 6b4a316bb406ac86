"""A chat of many messages, which a server imports."""

from __future__ import annotations

from typing import Any

from tests.support.client import Client

TIME = "2026-01-01T00:00:00.000+00:00"


def archive(exchanges: int, answer: str) -> dict[str, Any]:
    """Return an export with prompts `prompt 1`, `prompt 2`, … and to each the answer `N: answer`."""
    messages: list[dict[str, Any]] = []
    streams: list[dict[str, Any]] = []
    for number in range(1, exchanges + 1):
        parent = f"a{number - 1}" if number > 1 else None
        stream_id = f"s{number}"
        both = {"created_at": TIME, "stream_id": stream_id}
        messages += [
            {
                "message_id": f"p{number}",
                "parent_id": parent,
                "role": "user",
                "content": f"prompt {number}",
                **both,
            },
            {
                "message_id": f"a{number}",
                "parent_id": f"p{number}",
                "role": "assistant",
                "content": f"{number}: {answer}",
                **both,
            },
        ]
        streams.append(
            {
                "stream_id": stream_id,
                "message_id": f"a{number}",
                "created_at": TIME,
                "model": "scripted/echo",
                "outcome": "complete",
                "finish_reason": "stop",
                "tokens": 10,
                "duration_ms": 100,
                "ttft_ms": 10,
                "upstream_closed": True,
            }
        )
    return {
        "kind": "tailrace-session",
        "version": 1,
        "session_id": "long",
        "title": "A long chat",
        "created_at": TIME,
        "updated_at": TIME,
        "messages": messages,
        "streams": streams,
    }


async def import_long(client: Client, exchanges: int, answer: str = "an answer") -> str:
    """Let the server have a chat of so many prompts and answers; return its session id."""
    async with client.http.post("/api/sessions/import", json=archive(exchanges, answer)) as response:
        assert response.status == 201, await response.text()
        session: dict[str, Any] = await response.json()
        return str(session["session_id"])
