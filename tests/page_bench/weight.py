"""What the page weighs, and what it asks for before something is to be seen."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from tests.page_bench.stage import Stage, seen
from tests.page_bench.table import Gate, at_most

STATIC = Path(__file__).parent.parent.parent / "static"
KB = 1000.0
LIMITS = {"JavaScript": ("*.js", 25.0), "CSS": ("*.css", 10.0)}  # KB
REQUESTS = 12

# Everything asked for before the first paint, the page itself included.
EARLY = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
  if (paint === undefined) return null;
  const early = performance.getEntriesByType("resource").filter((entry) => entry.startTime <= paint);
  return [location.pathname, ...early.map((entry) => new URL(entry.name).pathname)];
}"""


def sizes() -> Iterator[Gate]:
    """Weigh all that the server has to give, gzipped file by file: no page can load more than that."""
    for kind, (pattern, limit) in LIMITS.items():
        files = sorted(STATIC.rglob(pattern))
        size = sum(len(gzip.compress(path.read_bytes(), mtime=0)) for path in files) / KB
        yield at_most(f"{kind}, gzipped, KB", size, limit, "{:.1f}", f" in {len(files)} files")


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
