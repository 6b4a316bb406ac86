"""Failures and timeouts of a model, and the upstream that is closed whatever happens."""

from __future__ import annotations

import asyncio

import pytest

from app.chat.errors import UpstreamTruncated
from app.chat.ports import Usage
from app.chat.states import Outcome, Status
from app.streams.bounds import Bounds
from tests.streams.conftest import Heart, content, thoughts
from tests.support.waiting import until


async def test_an_upstream_error_keeps_what_came(heart: Heart) -> None:
    """The stream ends failed, with the code and the sentence, and the session works on."""
    stream = heart.stream(await heart.post())
    generation = await heart.opened()
    generation.say("half an")
    generation.fail(UpstreamTruncated("The answer broke off."))
    assert await stream.wait_ended(5)
    assert stream.outcome is Outcome.FAILED
    assert content(stream) == "half an"
    assert stream.problem is not None
    assert (stream.problem.code, stream.problem.message) == ("upstream_truncated", "The answer broke off.")
    assert generation.aborted.is_set()
    again = heart.stream(await heart.post(prompt="again"))
    (await heart.opened("again")).finish()
    assert await again.wait_ended(5)
    assert again.outcome is Outcome.COMPLETE


async def test_a_crash_in_a_backend_shows_no_traceback_to_the_user(heart: Heart) -> None:
    """An unexpected exception becomes the code `internal` and a sentence without its text."""
    stream = heart.stream(await heart.post())
    (await heart.opened()).fail(RuntimeError("secret detail"))
    assert await stream.wait_ended(5)
    assert stream.outcome is Outcome.FAILED
    assert stream.problem is not None
    assert stream.problem.code == "internal"
    assert "secret" not in stream.problem.message


async def test_reasoning_and_answer_are_told_apart(heart: Heart) -> None:
    """Each has positions of its own; only the answer's tokens are counted."""
    stream = heart.stream(await heart.post())
    generation = await heart.opened()
    generation.say("hm", " hm", kind="reasoning")
    generation.say("yes")
    generation.finish(usage=Usage(5, 3))
    assert await stream.wait_ended(5)
    assert (thoughts(stream), content(stream), stream.tokens) == ("hm hm", "yes", 1)
    assert stream.produced.usage == Usage(5, 3)


async def test_a_stop_while_the_upstream_is_closing_keeps_the_answer_complete(heart: Heart) -> None:
    """Once the model has finished, a signal comes too late to change the outcome or to break the clean-up."""
    stream = heart.stream(await heart.post())
    generation = await heart.opened()
    closing = asyncio.Event()
    generation.wait_closed = closing.wait  # type: ignore[method-assign, assignment]
    generation.finish()
    await generation.aborted.wait()
    await heart.post(prompt="next")
    assert not stream.cancelled
    closing.set()
    assert await stream.wait_ended(5)
    assert (stream.outcome, stream.produced.closed) == (Outcome.COMPLETE, True)


class TestTimeouts:
    """A model that falls silent."""

    @pytest.fixture
    def bounds(self) -> Bounds:
        """Little patience."""
        return Bounds(first_token_timeout=0.05, token_timeout=0.05, viewer_grace=None)

    async def test_before_the_first_token(self, heart: Heart) -> None:
        """The stream fails with `first_token_timeout`, and the upstream is closed."""
        stream = heart.stream(await heart.post())
        generation = await heart.opened()
        assert await stream.wait_ended(5)
        assert stream.outcome is Outcome.FAILED
        assert stream.problem is not None
        assert stream.problem.code == "first_token_timeout"
        assert generation.aborted.is_set()

    async def test_in_the_middle(self, heart: Heart) -> None:
        """The stream fails with `token_timeout`, and what came is kept."""
        stream = heart.stream(await heart.post())
        (await heart.opened()).say("so far")
        assert await stream.wait_ended(5)
        assert (stream.outcome, content(stream)) == (Outcome.FAILED, "so far")
        assert stream.problem is not None
        assert stream.problem.code == "token_timeout"


class TestLongAnswer:
    """A model that does not stop by itself."""

    @pytest.fixture
    def bounds(self) -> Bounds:
        """Room for a hundred bytes."""
        return Bounds(max_answer_bytes=100, viewer_grace=None)

    async def test_it_is_cut(self, heart: Heart) -> None:
        """Past the limit the answer ends as a model's does at its own limit: `length`."""
        stream = heart.stream(await heart.post())
        generation = await heart.opened()
        generation.say("x" * 101)
        assert await stream.wait_ended(5)
        assert (stream.outcome, stream.produced.finish_reason) == (Outcome.COMPLETE, "length")
        assert generation.aborted.is_set()

    async def test_its_limit_is_in_bytes(self, heart: Heart) -> None:
        """As the setting says: characters beyond ASCII count for what they take in UTF-8."""
        stream = heart.stream(await heart.post())
        generation = await heart.opened()
        generation.say("語" * 33)
        generation.say("語")
        assert await stream.wait_ended(5)
        assert (stream.produced.finish_reason, content(stream)) == ("length", "語" * 34)


class TestCloseLook:
    """With every token in the log."""

    @pytest.fixture
    def bounds(self) -> Bounds:
        """Tokens are logged."""
        return Bounds(log_tokens=True, viewer_grace=None)

    async def test_every_token_is_a_line(self, heart: Heart, capsys: pytest.CaptureFixture[str]) -> None:
        """Each has its text and its position."""
        stream = heart.stream(await heart.post())
        generation = await heart.opened()
        generation.say("one", " two")
        generation.say(" three")
        generation.finish()
        assert await stream.wait_ended(5)
        lines = [line for line in capsys.readouterr().out.splitlines() if "stream_token" in line]
        assert len(lines) == 3
        assert "position=2" in lines[-1]
        assert "three" in lines[-1]


async def test_a_note_is_told_as_a_status(heart: Heart) -> None:
    """It stands until text comes, is one short line, and is neither a token nor the beginning of the answer."""
    stream = heart.stream(await heart.post())
    generation = await heart.opened()
    generation.note("Looking\ninto  it " + "…" * 300)
    await until(lambda: stream.view is not None and stream.view.note)
    assert stream.view is not None
    assert (stream.view.note[:16], len(stream.view.note), stream.view.status) == (
        "Looking into it ",
        200,
        Status.THINKING,
    )
    assert (stream.produced.ttft, stream.tokens) == (None, 0)
    generation.say("found")
    await until(lambda: content(stream) == "found")
    assert stream.view.note == ""
    generation.note("Once more")
    generation.finish()
    assert await stream.wait_ended(5)
    assert [name for _, name in heart.names()] == [
        "start",
        "status",
        "status",
        "status",
        "token",
        "status",
        "end",
    ]
    assert stream.outcome is Outcome.COMPLETE
