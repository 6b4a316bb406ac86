"""What tests may rest on: public facts and events, never a private attribute, a `repr` or a moment of sleep."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path for path in (ROOT / "tests").rglob("*.py") if "benchmarks" not in path.parts)

# Named tuples and `os` have public names that begin like this.
PUBLIC = {"_replace", "_asdict", "_fields", "_exit"}
OWN = {"self", "cls", "super()"}
PRIVATE = {  # files that need another library's private names, and why
    "tests/support/accepting.py": "mends asyncio",
    "tests/support/blocking.py": "measures the callbacks of asyncio's loop, which has no hook for that",
    "tests/schedules/loop.py": "is a loop of its own, and runs asyncio's handles",
    "tests/web/http/test_forwarded.py": "gives a request of aiohttp's test tools an application",
    "tests/history/test_nodes.py": "lets a connection of asyncpg die in silence",
}
SLEEPS = {  # functions that sleep, and what for
    "tests/cluster/nodes.py::follow": "is the time until a viewer comes back",
    "tests/support/waiting.py::until": "looks again",
    "tests/support/waiting.py::until_told": "asks again",
    "tests/support/waiting.py::stays": "looks again",
    "tests/support/waiting.py::found": "looks again",
    "tests/support/lag.py::measure": "measures how late it is woken",
    "tests/support/test_blocking.py::test_a_wait_is_no_work": "lets the loop run what is measured",
    "tests/support/test_blocking.py::test_collecting_garbage_does_not_count": "lets the loop run what is measured",
    "tests/browser/engines/window.py::until": "asks the browser again, with a bound",
    "tests/history/test_migrating.py::slowly": "is how long a busy machine does nothing",
    "tests/history/test_nodes.py::held_up": "is longer than PostgreSQL waits",
    "tests/log/shared/test_owners.py::write": "is the pace of a stream",
    "tests/web/nodes/test_reach.py::answer": "is the pace of a stream",
    "tests/hostile/test_owners.py::test_responses_that_nobody_reads": "is how long nobody reads",
    "tests/doubles/tcp_proxy.py::_deliver": "is the time that a network takes",
    "tests/cluster/__main__.py::kept": "is the pause before a node is started again",
    "tests/cluster/harness/node.py::_ports": "is how often a process is looked at",
    "tests/cluster/chaos/address.py::send": "asks again, as a client does",
    "tests/cluster/chaos/viewers.py::watch": "is the pause of a viewer that comes back",
    "tests/cluster/chaos/viewers.py::first_token": "is the pause of a viewer that comes back",
    "tests/cluster/chaos/users.py::live": "paces a user",
    "tests/cluster/chaos/faults.py::kill": "is how long a node is away",
    "tests/cluster/chaos/faults.py::pause": "is how long a node is paused",
    "tests/cluster/chaos/faults.py::fault": "is how long a network is cut",
    "tests/cluster/chaos/faults.py::isolate": "is how long a network is cut",
    "tests/cluster/chaos/faults.py::kill_valkey": "is how long an engine is away",
    "tests/cluster/chaos/faults.py::promote": "is how much a replica lacks, and how long nobody is the primary",
    "tests/doubles/raw.py::_answer": "is the pace of a model server",
    "tests/doubles/server.py::_play": "is the pace of a model server",
    "tests/doubles/server.py::_write": "is the pace of a model server",
    "tests/doubles/server.py::_turn_a_deaf_ear": "is a model server that goes on",
    "tests/backends/test_agents.py::agent": "is the mistake of an agent",
    "tests/doubles/agents.py::steady": "is the pace of an agent",
    "tests/doubles/agents.py::cleans_up": "is a clean-up that takes time",
    "tests/doubles/agents.py::is_deaf": "is the pace of an agent",
    "tests/doubles/agents.py::never_closes": "is the pace of an agent",
    "tests/doubles/agents.py::_begins": "is the pace of an agent",
    "tests/doubles/agents.py::_anyway": "is an agent that goes on",
    "tests/backends/test_scripted.py::scene": "is in virtual time",
    "tests/schedules/test_machinery.py::sleeper": "is in virtual time",
    "tests/schedules/test_machinery.py::test_time_passes_only_when_told": "is in virtual time",
    "tests/functional/test_held_interpreter.py::test_a_second_signal_ends_it_sooner": "keeps two signals apart",
    "tests/functional/test_hostile_answers.py::ping": "paces requests",
    "tests/functional/test_storm.py::visit": "paces a visitor",
    "tests/functional/test_streaming_stability.py::count": "paces questions",
    "tests/functional/test_streaming_stability.py::test_rapid": "is the time between two prompts",
    "tests/hostile/test_bodies.py::test_a_body_that_is_no_chunk_is_refused": "is the time between two packets",
    "tests/hostile/test_connections.py::open_after": "looks again",
    "tests/hostile/test_connections.py::test_more_strangers_than_their_memory_allows": "paces connections",
    "tests/hostile/test_connections.py::test_pipelined_requests_are_bounded": "is the time of an attack",
    "tests/hostile/test_suffering.py::pause": "is the time of an attack",
    "tests/hostile/test_suffering.py::attacked": "is the time of an attack",
    "tests/support/hostile.py::_watched": "is the time that a bystander measures at rest",
    "tests/support/hostile.py::_answers_after": "looks again",
    "tests/support/tokens.py::known": "asks again",
    "tests/web/security/test_tokens.py::test_the_last_use_is_stored": "looks again",
    "tests/history/crashing.py::_watch": "paces a viewer",
    "tests/history/test_crash.py::crash": "is the moment of a crash",
    "tests/history/test_growing.py::test_all_streams_share_one_transaction": "lets answers grow for some ticks",
    "tests/history/test_snapshots.py::test_a_snapshot_is_of_one_moment": "lets a conversation go on between snapshots",
    "tests/history/test_writing.py::test_what_answers_cost_the_disk": "paces answers",
    "tests/backends/test_floods.py::test_turns_are_taken_in_order_and_not_all_at_once": "counts turns of the loop",
    "tests/tasks/test_idle_timer.py::test_food_does_not_put_it_off_for_ever": "feeds in each turn of the loop",
    "tests/tasks/test_idle_timer.py::test_feeding_puts_it_off": "is the time that the timer measures",
    "tests/tasks/test_idle_timer.py::test_life_without_a_word_has_its_bound_too": "is the time that the timer measures",
    "tests/tasks/test_timeouts.py::tidy": "is a clean-up that takes time",
    "tests/telemetry/test_loop_health.py::test_a_block_is_measured_and_its_culprit_named": "lets the watch begin",
    "tests/telemetry/test_loop_health.py::held_up_by_this_function": "is the block that is measured",
    "tests/web/events/test_cursors.py::speak": "is a pace",
    "tests/web/events/test_cursors.py::test_a_snapshot_and_its_cursor_are_of_one_moment": "paces viewers",
    "tests/web/events/test_replay.py::speak": "is a pace",
    "tests/web/blocks/test_answer_blocks.py::test_pieces_of_any_length_end_in_the_same_blocks": "is a pace",
}


def sleeps(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the innermost function and the line of each sleep that takes time, and of each that polls in a loop."""
    for function, node, is_polling in _calls(tree, "", False):
        name = ast.unparse(node.func)
        if name in ("time.sleep", "asyncio.sleep", "sleep"):
            zero = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if not zero or is_polling:
                yield function, node.lineno


def _calls(node: ast.AST, function: str, is_polling: bool) -> Iterator[tuple[str, ast.Call, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _calls(child, child.name, False)
            continue
        if isinstance(child, ast.Call):
            yield function, child, is_polling
        yield from _calls(child, function, is_polling or isinstance(child, ast.While))


def privates(tree: ast.Module) -> Iterator[str]:
    """Yield each use of a name that is private to somebody else."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            if ast.unparse(node.value) not in OWN:
                yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (
                f"line {node.lineno}: {node.module}.{alias.name}"
                for alias in node.names
                if _is_private(alias.name)
            )
        elif isinstance(node, ast.Call) and _is_by_name(node):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def _is_by_name(call: ast.Call) -> bool:
    """Tell whether a call gets or sets a private attribute by its name."""
    if not ast.unparse(call.func).endswith(("getattr", "setattr", "delattr", "setitem")):
        return False
    names = [
        word.value for word in call.args if isinstance(word, ast.Constant) and isinstance(word.value, str)
    ]
    return any(_is_private(name.rpartition(".")[2]) for name in names)


def reprs(tree: ast.Module) -> Iterator[str]:
    """Yield each comparison of a `repr`. That it does not tell a secret is a fact of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and not isinstance(node.ops[0], ast.NotIn):
            for part in ast.walk(node):
                called = isinstance(part, ast.Call) and ast.unparse(part.func) in ("repr", "ascii")
                if called or (isinstance(part, ast.FormattedValue) and part.conversion == ord("r")):
                    yield f"line {node.lineno}: {ast.unparse(node)}"


def named(path: Path) -> str:
    """A file as the tables here name it."""
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """Read a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_nothing_private_is_looked_at() -> None:
    """Who looks at the inside fails with every change that breaks nothing."""
    found = {named(path): list(privates(parsed(path))) for path in FILES}
    assert {name: uses for name, uses in found.items() if uses and name not in PRIVATE} == {}
    assert [name for name in PRIVATE if not found.get(name)] == []


@pytest.mark.slow
def test_no_repr_decides() -> None:
    """What an object shows to a programmer is no fact of the product."""
    found = {named(path): list(reprs(parsed(path))) for path in FILES}
    assert {name: uses for name, uses in found.items() if uses} == {}


@pytest.mark.slow
def test_nobody_sleeps_for_luck() -> None:
    """A test waits for an event or a condition, with a bound; what sleeps paces a load or is the thing itself."""
    found: dict[str, list[int]] = {}
    for path in FILES:
        for function, line in sleeps(parsed(path)):
            found.setdefault(f"{named(path)}::{function}", []).append(line)
    assert {name: lines for name, lines in found.items() if name not in SLEEPS} == {}
    assert [name for name in SLEEPS if name not in found] == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ndef f(): time.sleep(1)",
        "async def f(): await asyncio.sleep(0.1)",
        "async def f():\n while not done(): await asyncio.sleep(0)",
    ],
)
def test_a_sleep_is_found(source: str) -> None:
    """One that takes time, and one that polls."""
    assert [function for function, _ in sleeps(ast.parse(source))] == ["f"]


def test_a_turn_of_the_loop_is_no_sleep() -> None:
    """`asyncio.sleep(0)` lets the others run, once."""
    assert list(sleeps(ast.parse("async def f(): await asyncio.sleep(0)"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "server._port",
        "from app.markdown import _parser",
        "getattr(server, '_port')",
        "monkeypatch.setattr(Server, '_port', 1)",
        "monkeypatch.setattr('app.server.Server._port', 1)",
    ],
)
def test_a_private_name_is_found(source: str) -> None:
    """However it is reached."""
    assert list(privates(ast.parse(source))) != []


def test_what_is_ones_own_is_not_private() -> None:
    """Nor is what the language or the library calls so."""
    assert list(privates(ast.parse("self._port, super()._read(), row._replace(a=1), thing.__name__"))) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", ["'open=0' in repr(server)", "repr(server) == 'x'", "f'{server!r}' == 'x'"]
)
def test_a_repr_is_found(source: str) -> None:
    """In whatever is compared."""
    assert list(reprs(ast.parse(source))) != []
