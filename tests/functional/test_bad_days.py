"""Bad days of the model server: the stream ends `failed` with a code and a sentence, and the session works on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.doubles.ollama import OllamaDouble
from tests.support.server import LiveServer, serve
from tests.support.sse import text_of
from tests.support.waiting import until

PART = "The river turns"  # what the double says before it misbehaves in the middle

FAULTS = {
    "hang-before-headers": ("first_token_timeout", "", "didn't start answering"),
    "hang-before-first": ("first_token_timeout", "", "didn't start answering"),
    "hang-middle": ("token_timeout", PART, "stopped responding"),
    "close-before-headers": ("upstream_unreachable", "", "isn't responding"),
    "garbage-before-headers": ("upstream_garbled", "", "unreadable reply"),
    "reset": ("upstream_truncated", PART, "broke off before"),
    "close": ("upstream_truncated", PART, "broke off before"),
    "missing-end": ("upstream_truncated", PART, "broke off before"),
    "garbage": ("upstream_garbled", PART, "unreadable reply"),
    "error": ("upstream_rejected", PART, "ran out of memory"),
    "missing-model": ("model_missing", "", "not found"),
    "wrong-path": ("upstream_rejected", "", "Check its URL."),
    "unauthorised": ("upstream_unauthorized", "", "rejected the API key"),
    "server-error": ("upstream_rejected", "", "the GPU caught fire"),
    "bad-request": ("upstream_rejected", "", "bad"),
    "context": ("upstream_rejected", "", "context size"),
}


@pytest.fixture
async def double() -> AsyncIterator[OllamaDouble]:
    """An Ollama that misbehaves on request."""
    async with OllamaDouble() as double:
        yield double


@pytest.fixture
async def live(double: OllamaDouble, tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server before it, with little patience."""
    async with serve(
        tmp_path, ollama_url=double.url, first_token_timeout=1.5, token_timeout=1.5, scripted=False
    ) as live:
        yield live


async def works_on(live: LiveServer, session_id: str = "s1") -> None:
    """Check that the session answers its next prompt."""
    events = await live.client.ask(session_id, f"session={session_id} hello")
    assert events[-1].data["outcome"] == "complete"
    assert text_of(events)


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_a_model_server_does_wrong(live: LiveServer, double: OllamaDouble, fault: str) -> None:
    """A code, a sentence, the text so far kept, the connection closed, and the next prompt answered."""
    code, text, sentence = FAULTS[fault]
    events = await live.client.ask("s1", f"session=s1 fault={fault}")
    end = events[-1].data
    assert (end["outcome"], end["upstream_closed"]) == ("failed", True)
    if fault == "context":
        assert end["error"]["code"] in (code, "context_exceeded")
    else:
        assert end["error"]["code"] == code
    assert sentence in end["error"]["message"]
    assert "\n" not in end["error"]["message"]
    assert text_of(events) == text
    answer = (await live.client.get("/api/sessions/s1"))["messages"][1]
    assert (answer["content"], answer["outcome"], answer["error"]) == (text, "failed", end["error"])
    await until(lambda: double.ledger.open == 0)
    await works_on(live)
    assert double.ledger.overlaps == []


async def test_the_model_goes_on_from_what_was_kept(live: LiveServer, double: OllamaDouble) -> None:
    """The next prompt carries the broken answer, marked as such."""
    await live.client.ask("s1", "session=s1 fault=reset")
    await works_on(live)
    roles = [(message["role"], message["content"]) for message in double.requests[-1]["messages"]]
    assert [role for role, _ in roles] == ["user", "assistant", "user"]
    assert roles[1][1].startswith(PART)
    assert roles[1][1] != PART


async def test_ollama_down_and_up_again(live: LiveServer, double: OllamaDouble) -> None:
    """While it is down a prompt fails at once and says why; once it is up, the same session answers."""
    await works_on(live)
    await double.stop()
    events = await live.client.ask("s1", "session=s1 hello", model="ollama/double:latest")
    error = events[-1].data["error"]
    assert error["code"] == "upstream_unreachable"
    assert double.url in error["message"]
    await double.start()
    await works_on(live)


async def test_ollama_goes_down_in_the_middle_of_an_answer(live: LiveServer, double: OllamaDouble) -> None:
    """What came is kept, and the stream ends by itself."""
    registered = await live.client.post("s1", "session=s1 fault=steady")
    async with live.client.events(registered["events_url"]) as events:
        seen = []
        async for event in events:
            seen.append(event)
            if event.name == "token" and double.ledger.open:
                await double.stop()
    assert (seen[-1].data["outcome"], seen[-1].data["error"]["code"]) == ("failed", "upstream_truncated")
    assert text_of(seen).startswith("The river")


async def test_a_wrong_url(tmp_path: Path) -> None:
    """Another server there, or another path: the list says so, and a named model fails with a sentence."""
    async with OllamaDouble() as double, serve(tmp_path / "other") as other:
        for url in (f"{double.url}/nope", other.url):
            async with serve(tmp_path / "ours", ollama_url=url) as live:
                (unreachable,) = (await live.client.get("/api/models"))["unreachable"]
                assert "Check its URL." in unreachable["message"]
                end = (await live.client.ask("s1", "hello", model="ollama/double"))[-1].data
                assert end["outcome"] == "failed"
                assert "Check its URL." in end["error"]["message"]
                events = await live.client.ask("s1", "hello", model="scripted/short")
                assert events[-1].data["outcome"] == "complete"


async def test_a_newer_prompt_behind_a_hanging_model(live: LiveServer, double: OllamaDouble) -> None:
    """It does not wait for the older one's timeout: that is superseded, and its connection closed."""
    old = await live.client.post("s1", "session=s1 fault=hang-before-headers")
    await double.ledger.until(lambda ledger: ledger.open_in("s1") == 1)
    await works_on(live)
    assert (await live.client.get(f"/api/streams/{old['stream_id']}"))["outcome"] == "superseded"
    assert double.ledger.overlaps == []


async def test_a_stubborn_model_is_counted(tmp_path: Path) -> None:
    """A predecessor that outlives the bound is fenced: the new stream starts, and the end says what is still open."""
    async with serve(tmp_path, supersede_timeout=0.3) as live:
        old = await live.client.post("s1", "hello", model="scripted/stubborn")
        await live.scripted.ledger.until(lambda ledger: ledger.open == 1)
        events = await live.client.ask("s1", "hello", model="scripted/short")
        assert events[-1].data["outcome"] == "complete"
        end = (await live.client.read_stream(old["stream_id"]))[-1].data
        assert (end["outcome"], end["upstream_closed"]) == ("superseded", False)
        live.scripted.release()
        await until(lambda: live.registry.statistics().zombies == 0)
