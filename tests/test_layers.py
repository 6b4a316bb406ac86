"""The layers: each room of `app/` imports only what lies under it."""

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

    ours: frozenset[str]  # other rooms and modules of `app/`
    theirs: frozenset[str]  # libraries
    never: frozenset[str] = frozenset()  # parts of those that stay out


def layer(ours: str = "", theirs: str = "", never: str = "") -> Layer:
    """Write a layer in words."""
    return Layer(frozenset(ours.split()), frozenset(theirs.split()), frozenset(never.split()))


HTTP_BACKEND = "chat tasks backends.errors backends.http backends.decoding"
WEB = "aiohttp cachetools multidict yarl aiohttp_sse aiohttp_jinja2 jinja2 babel itsdangerous limits rjsmin"
# What shows something reads the session log, never the stream that writes it.
SHOWS = "app.streams.stream app.streams.producer"

# A room imports itself and what is named here: other rooms (without the rooms in them), or single modules.
LAYERS = {
    # Without I/O, so that schedules of the core can be explored in virtual time.
    "measures": layer(),
    "chat": layer("measures", never=" ".join(IO)),
    "tasks": layer(never=" ".join(IO)),
    "log": layer("chat tasks", never=" ".join(IO)),
    "log.shared": layer("chat tasks log log.shared.redis measures", "hiredis"),
    "log.shared.redis": layer("chat tasks measures redis_url", "hiredis"),
    "streams": layer("chat tasks log measures", never=" ".join(IO)),
    "cluster": layer("chat tasks log streams measures", never=" ".join(IO)),
    "backends": layer("chat tasks", "aiohttp yarl", never="aiohttp.web"),
    "backends.errors": layer("chat backends.json_values", "aiohttp yarl", never="aiohttp.web"),
    "backends.decoding": layer("chat backends.json_values backends.errors"),
    "backends.http": layer(
        "chat tasks hosts backends.errors backends.decoding", "aiohttp yarl", never="aiohttp.web"
    ),
    "backends.ollama": layer(f"{HTTP_BACKEND} backends.json_values", "aiohttp yarl", never="aiohttp.web"),
    "backends.openai": layer(f"{HTTP_BACKEND} backends.json_values", "aiohttp yarl", never="aiohttp.web"),
    "agent": layer(),
    "backends.agents": layer("agent chat tasks"),
    "backends.embedded": layer(
        f"{HTTP_BACKEND} backends.openai backends.embedded.child", "aiohttp yarl", never="aiohttp.web"
    ),
    "backends.embedded.child": layer("chat", "xllamacpp"),
    "backends.scripted": layer("chat tasks backends.decoding"),
    "history": layer(
        "chat tasks private cluster.ports history.statements history.write_queue",
        "sqlalchemy alembic asyncpg",
    ),
    "history.statements": layer("chat history history.write_queue.changes", "sqlalchemy"),
    "history.write_queue": layer("chat tasks history history.statements measures", "sqlalchemy"),
    "history.migrations": layer("chat history.statements", "sqlalchemy alembic"),
    "telemetry": layer("chat streams measures printable", "structlog prometheus_client opentelemetry"),
    "markdown": layer("markdown.blocks markdown.html markdown.rules", "markdown_it"),
    "markdown.rules": layer("markdown", "markdown_it"),
    "markdown.blocks": layer("markdown markdown.rules", "markdown_it"),
    "markdown.code": layer("markdown"),
    "markdown.html": layer("markdown markdown.rules markdown.code", "markdown_it nh3 latex2mathml"),
    "web": layer(
        "chat networks cluster.cluster cluster.ports streams markdown markdown.code web.http web.assets web.i18n"
        " web.security web.input web.events web.blocks web.output web.api web.nodes web.ops web.page web.page.live",
        WEB,
        never=SHOWS,
    ),
    "web.nodes": layer(
        "chat cluster.cluster cluster.moves cluster.ports log tasks web web.http web.input web.events web.api"
        " web.page web.page.live",
        WEB,
        never=SHOWS,
    ),
    "web.ops": layer(
        "chat cluster.cluster streams.overview streams.counters web web.http web.i18n web.input web.events"
        " web.page.templates",
        WEB,
        never=SHOWS,
    ),
    "web.output": layer("chat tasks web web.http", WEB),
    "web.http": layer("web.app_keys web.grants hosts networks", WEB),
    "web.assets": layer("web.http", WEB),
    "web.i18n": layer("chat web.http", WEB),
    "web.security": layer(
        "chat tokens hosts networks redis_url tasks web web.http web.i18n web.input web.page.templates",
        f"{WEB} redis",
    ),
    "web.input": layer("chat log web web.http web.i18n", f"{WEB} multipart"),
    "web.events": layer("chat log tasks streams.session measures web web.http", WEB, never=SHOWS),
    "web.blocks": layer(
        "chat log tasks streams.session markdown markdown.blocks markdown.html web.events", WEB, never=SHOWS
    ),
    "web.api": layer(
        "chat log tasks streams markdown hosts web web.http web.i18n web.input web.events web.blocks web.output"
        " web.page.model_menu",
        WEB,
        never=SHOWS,
    ),
    "web.page": layer(
        "chat log hosts web web.http web.assets web.i18n web.input web.output web.api web.page.live"
        " web.page.noscript",
        WEB,
        never=SHOWS,
    ),
    "web.page.live": layer(
        "chat log tasks streams.session streams.registry web web.input web.events web.blocks web.api",
        WEB,
        never=SHOWS,
    ),
    "web.page.noscript": layer(
        "chat log tasks streams.session markdown web.events web.blocks web.page.live web.app_keys",
        WEB,
        never=SHOWS,
    ),
    "nodes": layer(
        "chat hosts redis_url tasks log log.shared log.shared.redis streams cluster config history"
    ),
    "hosts": layer("", "idna"),
    "networks": layer(),
    "redis_url": layer(),
    "config": layer("hosts networks chat.scoped_ids", "platformdirs"),
    "shutdown": layer("chat streams", "structlog"),
    "watchdog": layer(),
    "allocator": layer(),
    "private": layer(),
    "printable": layer(),
    "secret": layer(),
    "tokens": layer("chat", "argon2"),
    "token_commands": layer("chat config history private tokens", "structlog"),
    "systemd": layer("", "structlog"),
    "doctor": layer(
        "config printable wiring.models wiring.obstacles telemetry doctor.inside doctor.outside", "yarl"
    ),
    "doctor.inside": layer("chat config doctor history secret tasks wiring.errors", "asyncpg"),
    "doctor.outside": layer(
        "config doctor tasks web.security", "aiohttp multidict yarl", never="aiohttp.web"
    ),
}
ABOVE = {"__init__", "__main__", "wiring", "embedding"}  # they know every layer


class Import(NamedTuple):
    """One import of one module."""

    path: Path
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.name}"


def part_of(name: str) -> str:
    """Return which entry of `LAYERS` a module of `app/`, or a name in it, falls under: the longest that fits."""
    pieces = name.split(".")
    own = (".".join(pieces[:length]) for length in range(len(pieces), 0, -1))
    return next((part for part in own if part in LAYERS), pieces[0])


def module_of(path: Path) -> str:
    """Return the name of a file of `app/` below that."""
    return ".".join(path.relative_to(ROOT / "app").with_suffix("").parts).removesuffix(".__init__")


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
        modules = {each for each in allowed.ours if each not in LAYERS}
        alone = any(f"{rest}.".startswith(f"{each}.") for each in modules)
        return rest == "__version__" or alone or part_of(rest) in allowed.ours | {part}
    return top in sys.stdlib_module_names or top in EVERYWHERE or top in allowed.theirs


FILES = sorted(path for path in (ROOT / "app").rglob("*.py") if part_of(module_of(path)) not in ABOVE)


def test_every_file_belongs_to_a_layer() -> None:
    """A new folder has to be put into the table first."""
    assert {part_of(module_of(path)) for path in FILES} <= set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_lies_under_it(path: Path) -> None:
    """No file reaches across or up, not even for a type."""
    assert [
        str(found) for found in imports_of(path) if not is_allowed(found.name, part_of(module_of(path)))
    ] == []


@pytest.mark.parametrize(
    ("part", "name", "allowed"),
    [
        ("streams", "asyncio", True),
        ("streams", "app.chat.states.advance", True),
        ("streams", "app.__version__", True),
        ("streams", "aiohttp", False),
        ("streams", "socket", False),
        ("streams", "app.web.app_keys", False),
        ("chat", "app.log.entries.Entry", False),
        ("log", "app.streams.stream.Stream", False),
        ("backends.http", "aiohttp.ClientSession", True),
        ("backends.http", "aiohttp.web", False),
        ("backends.http", "app.backends.ollama.backend", False),
        ("backends.ollama", "app.streams.registry", False),
        ("backends.embedded", "xllamacpp", False),
        ("backends.embedded.child", "xllamacpp.Server", True),
        ("history", "app.streams.session", False),
        ("web", "app.config.settings.Settings", False),
        ("web.api", "app.backends.ollama.backend", False),
        ("web.api", "app.streams.registry.Registry", True),
        ("web.api", "app.streams.stream.Stream", False),
        ("web.events", "app.streams.session.Session", True),
        ("web.events", "app.streams.registry.Registry", False),
        ("web.events", "app.web.page.views", False),
        ("web.blocks", "app.markdown.steps.document_steps", True),
        ("markdown", "app.log.entries", False),
        ("config", "app.chat.errors", False),
    ],
)
def test_the_table_means_what_it_says(part: str, name: str, allowed: bool) -> None:
    """The check itself tells right from wrong."""
    assert is_allowed(name, part) is allowed
