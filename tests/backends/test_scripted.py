"""The scripted models: the same every time, whatever one asks of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.backends.scripted.scripts import SCRIPTS
from app.chat.errors import ModelMissing, UpstreamError, UpstreamRejected
from app.chat.ports import Delta, Generation, Note, Piece, Usage
from tests.backends.virtual import run
from tests.contract.benches import ask
from tests.doubles.scripted import ScriptedDouble


async def read_on(generation: Generation, into: list[Delta]) -> None:
    while more := await generation.read():
        into.extend(piece for piece in more if isinstance(piece, Delta))


async def text_of(generation: Generation, kind: str = "token") -> str:
    deltas: list[Delta] = []
    await asyncio.wait_for(read_on(generation, deltas), 10)
    return "".join(text for delta in deltas if delta.kind == kind for text in delta.texts)


@pytest.mark.parametrize("prompt", ["Hi", "  two  spaces\nand a line\n", "ümlaut 🙂"])
async def test_echo(prompt: str) -> None:
    """`echo` gives back the last prompt, character by character the same."""
    assert await text_of(ScriptedDouble(hurry=1000).generate(ask("echo", prompt))) == prompt


async def test_empty_echo_ends() -> None:
    """An answer without a token is an end, not a hang."""
    generation = ScriptedDouble(hurry=1000).generate(ask("echo", ""))
    assert await text_of(generation) == ""
    assert generation.finish_reason == "stop"


async def test_every_script_is_told() -> None:
    """Every script that ends by itself ends with its own text, and the others are the known ones."""
    backend = ScriptedDouble(hurry=10_000)
    for name, script in SCRIPTS.items():
        if script.ending == "stop" and script.text is not None:
            assert await text_of(backend.generate(ask(name, ""))) == script.text * script.repeat
    assert {name for name, script in SCRIPTS.items() if script.ending != "stop"} == {
        "hang",
        "hang-middle",
        "error",
        "error-middle",
    }
    assert backend.ledger.open == 0


async def test_reasoning_comes_first() -> None:
    """`reasoning` thinks before it answers."""
    deltas: list[Delta] = []
    await read_on(ScriptedDouble(hurry=1000).generate(ask("reasoning", "")), deltas)
    kinds = [delta.kind for delta in deltas]
    assert kinds == sorted(kinds)
    assert set(kinds) == {"reasoning", "token"}


async def test_error_in_the_middle() -> None:
    """`error-middle` fails after its tokens, once and for all, and counts as an end of its own."""
    backend = ScriptedDouble(hurry=1000)
    generation = backend.generate(ask("error-middle", ""))
    deltas: list[Delta] = []
    with pytest.raises(UpstreamRejected):
        await read_on(generation, deltas)
    with pytest.raises(UpstreamRejected):
        await generation.read()
    assert sum(len(delta.texts) for delta in deltas) == 5
    assert (backend.ledger.finished, backend.ledger.aborted) == (1, 0)


async def test_max_tokens() -> None:
    """`max_tokens` cuts an answer short, and its reason says so."""
    generation = ScriptedDouble(hurry=1000).generate(ask("long", "", max_tokens=3))
    assert await text_of(generation) == "The river turns"
    assert generation.finish_reason == "length"
    assert generation.usage is not None
    assert generation.usage.completion_tokens == 3


async def test_unknown_script() -> None:
    """A script that does not exist is a missing model."""
    with pytest.raises(ModelMissing):
        await ScriptedDouble().generate(ask("nope", "")).read()


async def test_ledger() -> None:
    """The ledger counts who was open at once, in all and by session."""
    backend = ScriptedDouble()
    prompts = ["session=a one", "session=a two", "session=b three"]
    generations = [backend.generate(ask("long", prompt)) for prompt in prompts]
    await asyncio.gather(*(generation.read() for generation in generations))
    ledger = backend.ledger
    assert (ledger.open, ledger.most_open, ledger.open_in("a"), ledger.overlaps) == (3, 3, 2, ["a"])
    for generation in generations:
        generation.abort()
    await ledger.until(lambda ledger: ledger.open == 0)
    assert (ledger.opened, ledger.aborted, ledger.finished, ledger.open_in("a")) == (3, 3, 0, 0)
    with pytest.raises(TimeoutError):
        await ledger.until(lambda ledger: ledger.open == 1, within=0.01)


async def test_stubborn() -> None:
    """`stubborn` stays open after an abort until it is released."""
    backend = ScriptedDouble()
    generation = backend.generate(ask("stubborn", ""))
    await generation.read()
    generation.abort()
    closing = asyncio.create_task(generation.wait_closed())
    with pytest.raises(UpstreamError):
        await generation.read()
    await asyncio.sleep(0)
    assert not closing.done()
    assert backend.ledger.open == 1
    backend.release()
    await asyncio.wait_for(closing, 1)
    assert backend.ledger.aborted == 1


def test_deaf() -> None:
    """`deaf` swallows cancellation and abort for its eight seconds, and obeys after them."""

    async def scene() -> None:
        backend = ScriptedDouble()
        generation = backend.generate(ask("deaf", ""))
        deltas: list[Delta] = []
        reading = asyncio.create_task(read_on(generation, deltas))
        await asyncio.sleep(1)
        reading.cancel()
        generation.abort()
        heard = len(deltas)
        await asyncio.sleep(6.9)
        assert not reading.done()
        assert backend.ledger.open == 1
        assert len(deltas) > heard
        await asyncio.sleep(0.2)
        assert isinstance(reading.exception(), UpstreamError)
        assert backend.ledger.aborted == 1
        await generation.wait_closed()

    run(scene())


@pytest.mark.parametrize(("script", "first"), [("short", 0.05), ("slow-start", 5.0)])
def test_timetable(script: str, first: float) -> None:
    """In virtual time every token comes at its exact moment, whoever reads and however long they wait."""

    async def scene() -> list[float]:
        loop = asyncio.get_running_loop()
        generation = ScriptedDouble().generate(ask(script, ""))
        times = []
        while deltas := await generation.read():
            assert [len(delta.texts) for delta in deltas if isinstance(delta, Delta)] == [1]
            times.append(loop.time())
        return times

    times = run(scene())
    assert times == pytest.approx([first + 0.02 * index for index in range(len(times))])


def test_late_reader() -> None:
    """Who reads late gets all that has come meanwhile, at once and in order."""

    async def scene() -> tuple[Sequence[Piece], int]:
        backend = ScriptedDouble()
        generation = backend.generate(ask("long", "", max_tokens=50))
        await generation.read()
        await asyncio.sleep(10)
        return await generation.read(), backend.ledger.open

    (delta,), still_open = run(scene())
    assert isinstance(delta, Delta)
    assert len(delta.texts) == 49
    assert delta.texts[:3] == [" river", " turns", " the"]
    assert still_open == 0


def test_hang_is_for_ever() -> None:
    """`hang` has no token after an hour either, and an abort ends it."""

    async def scene() -> None:
        generation = ScriptedDouble().generate(ask("hang", ""))
        reading = asyncio.create_task(generation.read())
        await asyncio.sleep(3600)
        assert not reading.done()
        generation.abort()
        await asyncio.wait({reading})
        assert isinstance(reading.exception(), UpstreamError)

    run(scene())


def test_a_note_comes_first_and_is_no_token() -> None:
    """It says what the model does; the answer comes in its own time."""

    async def scene() -> tuple[list[Piece], Usage | None]:
        generation = ScriptedDouble().generate(ask("notes", ""))
        found: list[Piece] = []
        while pieces := await generation.read():
            found += pieces
        return found, generation.usage

    (note, *deltas), usage = run(scene())
    assert note == Note("Looking at the water…")
    assert "".join(text for delta in deltas if isinstance(delta, Delta) for text in delta.texts) == (
        "It still runs downhill."
    )
    assert usage is not None
    assert usage.completion_tokens == 4
