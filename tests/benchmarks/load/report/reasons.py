"""Why goals are missed, from profiles of the server: printed with each miss, and in `docs/performance.md`."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.load.report.rows import Row

WAY_IN = "the way in of a prompt: see the exchange"
EXCHANGE = (
    "40 % are the POST and the GET, most of it in aiohttp's server; 16 % the request to the model (7 % of it a new "
    "connection for each answer, so that nothing of a stream is left after its end); 10 % the conductor of the session "
    "with its log lines; 10 % events to the reader; the rest is spread thinly. SQLite adds 0.5 to 0.6 ms"
)
AT_ONCE = (
    "250 prompts are admitted, written to disk and superseded one after the other. The relay answers 50: it forgets "
    "the others"
)
IMPORTS = (
    "imports: SQLAlchemy takes 13 MiB, aiohttp 15 MiB with TLS. The environment of the tests has `rich`, which "
    "structlog loads if it is there: 4 MiB that an installation does not need"
)
IDLE = "the look at every viewer every three seconds, which finds clients that have left, and heartbeats"
LATE = (
    "one token in a hundred meets others that came at the same moment, or the history's batch, which shares the "
    "interpreter with the event loop: with the history in memory it is 0.6 x"
)
LONG = (
    "not found by a profile: its shares are the same at token 100 and at token 50,000, half of it system calls that "
    "read from the model and write to the reader. The relay, which keeps nothing, varies between 1.0 and 1.6"
)
# By the beginning of the figure; the first one that fits.
WHY = {
    "CPU µs per token, as fast as it goes": "decoding, and a frame with an id and a position, as at 50/s",
    "CPU µs per token, ": (
        "decoding, the session log, and a frame with an id and a position, where the relay passes bytes on. In "
        "instructions, with the history in memory, it is 1.06 x (`make cost`)"
    ),
    "CPU µs per token delivered": "68 % is the system call that writes to each viewer",
    "first token over direct": WAY_IN,
    "added per token, p99": LATE,
    "CPU ms per exchange": EXCHANGE,
    "storm over": f"{WAY_IN}. With the history in memory it is 2 x",
    "storm at once": AT_ONCE,
    "memory per running stream": (
        "44 KiB to begin with, and 33 bytes for each token. Of what Python allocates, 37 % is aiohttp's for the two "
        "connections, 10 % the request to the model; the rest is spread thinly"
    ),
    "memory per idle viewer": (
        "of what Python allocates, 48 % is aiohttp's for the connection and its request, 13 % the event stream, 10 % "
        "what watches the connection; the rest is spread thinly"
    ),
    "memory per stream, ": (
        "of what Python allocates, 30 % is aiohttp's for the reader's connection, 9 % the event stream, 8 % asyncio's "
        "locks and events, 7 % the session; the rest, with the request to the model, is spread thinly"
    ),
    "CPU ms per second, ": IDLE,
    "growth of that from token": LONG,
    "start to ready": IMPORTS,
    "resident memory then": IMPORTS,
    "cluster: the shared log adds to a token": (
        "where a node has little to do each token comes alone, and the reply of Redis wakes the node once more for it. "
        "Tokens are not held back to be sent together"
    ),
}
UNKNOWN = (
    "not known: it is met where docs/performance.md was measured. Look at the spread, and at the load before"
)


def missed(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the figures that miss their goals, each with by how much; those with the same reason together."""
    figures: dict[str, list[str]] = {}
    for row in rows:
        if row.met is False:
            figures.setdefault(reason(row.figure), []).append(f"{row.figure}: {row.verdict}")
    return [("; ".join(each), why) for why, each in figures.items()]


def reason(figure: str) -> str:
    """Return why a figure misses its goal, as far as that is known."""
    return next((why for start, why in WHY.items() if figure.startswith(start)), UNKNOWN)
