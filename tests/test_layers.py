"""The layers: each folder of `app/` imports only what lies under it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
EVERYWHERE = {"app", "msgspec"}  # the version, and JSON with its types
IO = {"socket", "ssl", "selectors", "http", "urllib", "threading", "subprocess", "multiprocessing", "sqlite3"}


class Layer(NamedTuple):
    """What a folder or a module of `app/` may import beside itself and the standard library."""

    ours: frozenset[str]  # other parts of `app/`
    theirs: frozenset[str]  # libraries
    never: frozenset[str] = frozenset()  # parts of those that stay out


def layer(ours: str = "", theirs: str = "", never: str = "") -> Layer:
    """Write a layer in words."""
    return Layer(frozenset(ours.split()), frozenset(theirs.split()), frozenset(never.split()))


LAYERS = {
    # The heart is without I/O, so that its schedules can be explored in virtual time.
    "streams": layer(never=" ".join(IO)),
    "backends": layer("streams", "aiohttp yarl", never="aiohttp.web"),
    "backends.llama_child": layer("streams", "xllamacpp"),
    "history": layer("streams", "sqlalchemy alembic asyncpg"),
    "telemetry": layer("streams", "structlog prometheus_client"),
    "markdown": layer("", "markdown_it nh3 latex2mathml"),
    "web": layer(
        "streams markdown hosts",
        "aiohttp multidict yarl aiohttp_sse aiohttp_jinja2 jinja2 babel itsdangerous limits rjsmin",
        never="app.streams.stream app.streams.producer",  # whoever shows something reads the log
    ),
    "hosts": layer("", "idna"),
    "settings": layer("hosts servers setting_kinds setting_rows config_file", "platformdirs"),
    "setting_kinds": layer("servers hosts"),
    "setting_rows": layer(""),
    "config_file": layer("toml_lines"),
    "servers": layer("toml_lines"),
    "toml_lines": layer(""),
    "ending": layer("streams", "structlog"),
    "watchdog": layer(),
    "secret": layer(),
}
ABOVE = {"__init__", "__main__", "wiring"}  # they know every layer


class Import(NamedTuple):
    """One import of one module."""

    path: Path
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.name}"


def part_of(path: Path) -> str:
    """Return which entry of `LAYERS` a file falls under."""
    parts = path.relative_to(ROOT / "app").with_suffix("").parts
    own = ".".join(parts)
    return own if own in LAYERS else parts[0]


def imports_of(path: Path) -> Iterator[Import]:
    """Read the imports of a file, those inside functions included. `from a import b` counts as `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(path, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports are absolute here"
            yield from (Import(path, node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def is_allowed(name: str, part: str) -> bool:
    """Tell whether the table lets `part` import `name`."""
    allowed = LAYERS[part]
    if any(name == barred or name.startswith(f"{barred}.") for barred in allowed.never):
        return False
    top, _, rest = name.partition(".")
    if top == "app" and rest:
        neighbour = rest.partition(".")[0]
        return neighbour in allowed.ours | {part.partition(".")[0], "__version__"}
    return top in sys.stdlib_module_names or top in EVERYWHERE or top in allowed.theirs


FILES = sorted(path for path in (ROOT / "app").rglob("*.py") if part_of(path) not in ABOVE)


def test_every_file_belongs_to_a_layer() -> None:
    """A new folder has to be put into the table first."""
    assert {part_of(path) for path in FILES} <= set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_lies_under_it(path: Path) -> None:
    """No file reaches across or up, not even for a type."""
    assert [str(found) for found in imports_of(path) if not is_allowed(found.name, part_of(path))] == []


@pytest.mark.parametrize(
    ("part", "name", "allowed"),
    [
        ("streams", "asyncio", True),
        ("streams", "app.streams.states.advance", True),
        ("streams", "app.__version__", True),
        ("streams", "aiohttp", False),
        ("streams", "socket", False),
        ("streams", "app.web.keys", False),
        ("backends", "aiohttp.ClientSession", True),
        ("backends", "aiohttp.web", False),
        ("backends", "xllamacpp", False),
        ("backends.llama_child", "xllamacpp.Server", True),
        ("web", "app.settings.Settings", False),
        ("web", "app.streams.answer_view.AnswerView", True),
        ("web", "app.streams.stream.Stream", False),
        ("web", "app.backends.ollama", False),
        ("web", "app.markdown.document.document", True),
        ("markdown", "app.streams.entries", False),
        ("settings", "app.streams.errors", False),
    ],
)
def test_the_table_means_what_it_says(part: str, name: str, allowed: bool) -> None:
    """The check itself tells right from wrong."""
    assert is_allowed(name, part) is allowed
