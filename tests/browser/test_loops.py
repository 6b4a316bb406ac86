"""The tests of the page share an event loop, and so do their fixtures."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
SHARED = "pytest_asyncio.fixture(loop_scope='session')"


def strays(source: str) -> list[str]:
    """Return the asynchronous fixtures that would run in a loop of their own."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.AsyncFunctionDef)
        for decorator in map(ast.unparse, node.decorator_list)
        if ".fixture" in decorator and "loop_scope='session'" not in decorator
    ]


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.name)
def test_every_fixture_is_in_the_loop_of_the_session(path: Path) -> None:
    """In another loop a fixture waits in vain for the browser, or for the server of its test."""
    assert [f"{name}: use @{SHARED}" for name in strays(path.read_text(encoding="utf-8"))] == []


def test_the_check_finds() -> None:
    """The usual way to write it, with and without arguments."""
    assert strays("@pytest.fixture\nasync def a(): pass") == ["a"]
    assert strays("@pytest_asyncio.fixture(scope='session')\nasync def a(): pass") == ["a"]
    assert strays(f"@{SHARED}\nasync def a(): pass\n@pytest.fixture\ndef b(): pass") == []
