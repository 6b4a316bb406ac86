"""Bounded waits: `app/` has one way to bound a wait, and it is not `asyncio.timeout`.

`asyncio.timeout`, `asyncio.wait_for` and `asyncio.TaskGroup` tell their own cancellation from others by counting, and
CPython 3.11.0 to 3.11.2 (Debian 12 has 3.11.2) count wrong in a task that was cancelled before: a clean-up that is
still going on then counts as done. `app.tasks.timeouts.within` is right on every release, so nothing else is used.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {"timeout", "timeout_at", "wait_for", "Timeout", "TaskGroup"}
WHY = "on CPython 3.11.2 it raises CancelledError at its bound; use app.tasks.timeouts.within"
FILES = sorted((ROOT / "app").rglob("*.py"))


def found_in(source: str) -> Iterator[str]:
    """Yield each use of what is forbidden, under whichever name."""
    tree = ast.parse(source)
    modules = {"asyncio"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in ("asyncio", "async_timeout"):
                    modules.add(alias.asname or alias.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in (
            "asyncio",
            "async_timeout",
        ):
            yield from (
                f"line {node.lineno}: {node.module}.{alias.name}"
                for alias in node.names
                if alias.name in FORBIDDEN
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN and ast.unparse(node.value) in modules:
            yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_bound_rests_on_counted_cancellations(path: Path) -> None:
    """Not in clean-ups and not elsewhere: a reader need not find out which task may have been cancelled before."""
    assert [f"{use}: {WHY}" for use in found_in(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\nasync def f():\n async with asyncio.timeout(1): pass",
        "import asyncio\nasync def f(): await asyncio.wait_for(g(), 1)",
        "import asyncio as a\nasync def f():\n async with a.timeout_at(1): pass",
        "from asyncio import timeout",
        "from asyncio import wait_for as bounded",
        "from asyncio.timeouts import Timeout",
        "import asyncio.timeouts\nasyncio.timeouts.timeout(1)",
        "import async_timeout\nasync_timeout.timeout(1)",
        "import asyncio\nasync def f():\n async with asyncio.TaskGroup(): pass",
    ],
)
def test_the_check_finds(source: str) -> None:
    """Every way to write it."""
    assert list(found_in(source)) != []


def test_the_check_lets_the_rest_pass() -> None:
    """`asyncio.wait` has a bound that cancels nothing; others may have a `timeout` of their own."""
    assert list(found_in("import asyncio\nasyncio.wait({t}, timeout=1)\nself.timeout(1)")) == []
