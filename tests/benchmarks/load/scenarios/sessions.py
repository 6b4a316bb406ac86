"""The list of sessions of somebody who has many."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from contextlib import closing, redirect_stdout
from pathlib import Path
from statistics import median

from app.chat.scoped_ids import LOCAL
from app.history.opening import FILE
from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.visitor import Visitor
from tests.benchmarks.load.report.rows import MS, Row
from tests.benchmarks.load.servers.target import TAILRACE, Target
from tests.support.fresh import lay_history

TIMES = 20


async def measure(bench: Bench) -> list[Row]:
    """Measure the list as the page and as the API ask for it, and a search in it."""
    questions = {
        "list": ("/api/sessions", "application/json"),
        "search in the list": ("/api/sessions?q=7777", "application/json"),
    }
    found: dict[str, list[float]] = {what: [] for what in questions}
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        with redirect_stdout(sys.stderr):  # it logs; standard output is the table's
            await lay_history(Path(folder))
        fill(Path(folder) / FILE, bench.scale.listed)
        for number in range(bench.scale.rounds):
            async with bench.servers.tailrace(DATA_DIR=folder) as target:
                for what, (path, accept) in questions.items():
                    found[what].append(await asked(target, path, accept))
            bench.say(
                f"round {number + 1} of {bench.scale.rounds}: "
                + ", ".join(f"{what} {times[-1]:.1f} ms" for what, times in found.items())
            )
    return [
        Row(f"{what} of {bench.scale.listed:,} sessions, ms", {TAILRACE: times}, 30.0)
        for what, times in found.items()
    ]


def fill(database: Path, count: int) -> None:
    """Put sessions with a prompt and an answer each into an empty history."""
    with closing(sqlite3.connect(database)) as connection, connection:
        when = [
            f"2026-01-01T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}.000+00:00" for n in range(count)
        ]
        connection.executemany(
            "INSERT INTO sessions (session_id, owner, title, created_at, updated_at) VALUES (?, ?, ?, ?, ?)",
            ((f"s{n}", LOCAL, f"Chat {n} about mill wheels", at, at) for n, at in enumerate(when)),
        )
        connection.executemany(
            "INSERT INTO messages (message_id, session_id, parent_id, role, content, reasoning, created_at) "
            "VALUES (?, ?, ?, ?, ?, '', ?)",
            (
                (f"{role}{n}", f"s{n}", parent and f"{parent}{n}", role, f"{role} {n} " + "water " * 50, at)
                for n, at in enumerate(when)
                for role, parent in (("user", None), ("assistant", "user"))
            ),
        )


async def asked(target: Target, path: str, accept: str) -> float:
    """Return the milliseconds of an answer, the median of some."""
    visitor = await Visitor.come(target)
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        reply = await visitor.ask(target.raw("GET", path, accept=accept))
        times.append((time.perf_counter() - began) * MS)
        assert reply.status == 200, reply
    visitor.leave()
    return median(times)
