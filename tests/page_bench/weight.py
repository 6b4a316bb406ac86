"""What the page weighs, and what it asks for before something is to be seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from app.web.static_files import served
from tests.page_bench.stage import Stage, seen
from tests.page_bench.table import Gate, at_most

STATIC = Path(__file__).parent.parent.parent / "static"
ENTRIES = ("main.js", "worker.js")  # of the page, and of the worker that its tabs share
KB = 1000.0
JAVASCRIPT, CSS = 25.0, 10.0  # KB
REQUESTS = 12

_IMPORT = re.compile(r"""^(?:import|export)\b[^;"'()]*["'](\.[^"']+)["']""", re.MULTILINE)

# Everything asked for before the first paint, the page itself included.
EARLY = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
  if (paint === undefined) return null;
  const early = performance.getEntriesByType("resource").filter((entry) => entry.startTime <= paint);
  return [location.pathname, ...early.map((entry) => new URL(entry.name).pathname)];
}"""


def sizes() -> Iterator[Gate]:
    """Weigh what every page loads, as the server sends it; beside it stands what is loaded when asked for."""
    scripts = set(STATIC.rglob("*.js"))
    loaded = with_imports(STATIC / name for name in ENTRIES if (STATIC / name).exists())
    on_demand = f" in {len(loaded)} files; on demand {_weight(scripts - loaded):.1f}"
    yield at_most("JavaScript, gzipped, KB", _weight(loaded), JAVASCRIPT, "{:.1f}", on_demand)
    yield at_most("CSS, gzipped, KB", _weight(STATIC.rglob("*.css")), CSS, "{:.1f}")


def with_imports(entries: Iterable[Path]) -> set[Path]:
    """Return the modules with all that they import, and those, and so on; `import()` waits until it is called."""
    found: set[Path] = set()
    waiting = [path.resolve() for path in entries]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [
                (path.parent / name).resolve() for name in _IMPORT.findall(path.read_text(encoding="utf-8"))
            ]
    return found


def _weight(files: Iterable[Path]) -> float:
    return sum(len(served(path).compressed or served(path).body) for path in files) / KB


async def early_requests(stage: Stage, path: str) -> list[str]:
    """Return the addresses that a first visit to `path` asks for until its first paint."""
    async with stage.context() as context:
        chat = await stage.open(context, path)
        return list(await seen(chat.page, EARLY))


async def requests(stage: Stage) -> Gate:
    """Visit a session that has an answer for the first time."""
    await stage.answer("weight", "markdown")
    early = await early_requests(stage, "/sessions/weight")
    return at_most("requests to first paint", len(early), REQUESTS)
