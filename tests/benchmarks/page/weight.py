"""What the page weighs, and what it asks for before something is to be seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from app.web.assets.folders import folder
from app.web.assets.static_files import PAGE, WORKER, static_files
from tests.benchmarks.page.stage import Stage, seen
from tests.benchmarks.page.table import Gate, at_most

STATIC = folder("static")
KB = 1000.0
JAVASCRIPT, CSS = 25.0, 10.0  # KB
REQUESTS = 12

_ON_DEMAND = re.compile(r"""import\("(\.[^"]+)"\)""")

# Everything asked for before the first paint, the page itself included.
EARLY = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
  if (paint === undefined) return null;
  const early = performance.getEntriesByType("resource").filter((entry) => entry.startTime <= paint);
  return [location.pathname, ...early.map((entry) => new URL(entry.name).pathname)];
}"""


def sizes() -> Iterator[Gate]:
    """Weigh what every page loads, as the server sends it; beside it stands what is loaded when asked for."""
    scripts = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.js"))
    styles = sorted(path.name for path in STATIC.glob("*.css"))  # each with its parts, which stand in folders
    on_demand = sorted({name for path in STATIC.rglob("*.js") for name in _loaded_later(path)})
    later = f"; on demand {_weight(on_demand):.1f}"
    yield at_most(
        "JavaScript, gzipped, KB",
        _weight(name for name in (PAGE, WORKER) if name in scripts),
        JAVASCRIPT,
        "{:.1f}",
        later,
    )
    yield at_most("CSS, gzipped, KB", _weight(styles), CSS, "{:.1f}")


def _loaded_later(path: Path) -> Iterator[str]:
    """Yield the modules that a module imports on demand, by their places under `static/`."""
    for name in _ON_DEMAND.findall(path.read_text(encoding="utf-8")):
        yield (path.parent / name).resolve().relative_to(STATIC.resolve()).as_posix()


def _weight(names: Iterable[str]) -> float:
    return sum(len(static_files().joined(name).compressed) for name in names) / KB


async def early_requests(stage: Stage, path: str) -> list[str]:
    """Return the addresses that a first visit to `path` asks for until its first paint."""
    async with stage.context() as context:
        chat = await stage.open(context, path)
        return list(await seen(chat.page, EARLY))


async def requests(stage: Stage, path: str) -> list[Gate]:
    """Visit a session that has an answer for the first time."""
    early = await early_requests(stage, path)
    return [at_most("requests to first paint", len(early), REQUESTS)]
