"""The page of a long chat, as the server sends it: the first time, and when what it shows was rendered before."""

from __future__ import annotations

import time
from statistics import median
from typing import NamedTuple

import msgspec

from tests.benchmarks.load.bench import Bench
from tests.benchmarks.load.client.visitor import Visitor
from tests.benchmarks.load.report.rows import MS, Row
from tests.benchmarks.load.scenarios.fresh import KIB, each_fresh
from tests.benchmarks.load.servers.target import TAILRACE, Target
from tests.support.long_chat import archive

WARM = 5  # further requests
ANSWER = """A mill race has **two parts**: the *headrace* brings the water, the tailrace takes it away.

1. Open the gate, `gate.open()`.
2. Wait until the wheel turns: it needs about 30 s.
3. Close the gate when the water stands higher than the mark.

```python
def power(flow: float, height: float) -> float:
    # Watts, without losses: density times gravity times flow times height.
    return 1000 * 9.81 * flow * height
```

| wheel | efficiency |
|---|---|
| undershot | 0.3 |
| overshot | 0.8 |

With a flow of 0.5 m³/s and a height of 3 m that is almost 15 kW, of which an overshot wheel gives 12 kW.
"""


class Shown(NamedTuple):
    """One round."""

    cold: float  # ms
    warm: float  # ms
    size: float  # KiB

    def __str__(self) -> str:
        return f"cold {self.cold:.0f} ms, warm {self.warm:.0f} ms, {self.size:.0f} KiB"


async def measure(bench: Bench) -> list[Row]:
    """Measure each time in a fresh server, into which the chat was imported."""

    async def one(target: Target) -> Shown:
        return await shown(bench, target)

    rounds = (await each_fresh(bench, (TAILRACE,), one, str))[TAILRACE]
    what = f"page of {bench.scale.page_messages:,} messages"
    return [
        Row(f"{what}, cold, ms", {TAILRACE: [one.cold for one in rounds]}, 150.0, form="{:.0f}"),
        Row(f"{what}, warm, ms", {TAILRACE: [one.warm for one in rounds]}, 150.0, form="{:.0f}"),
        Row(f"{what}, KiB of HTML", {TAILRACE: [one.size for one in rounds]}, 300.0, form="{:.0f}"),
    ]


async def shown(bench: Bench, target: Target) -> Shown:
    """Import a chat and ask for its page. Wants a fresh server."""
    visitor = await Visitor.come(target)
    body = msgspec.json.encode(archive(bench.scale.page_messages // 2, ANSWER))
    reply = await visitor.ask(target.raw("POST", "/api/sessions/import", body, "application/json"))
    assert reply.status == 201, reply
    session_id = msgspec.json.decode(reply.body, type=_Imported).session_id
    page = target.raw("GET", f"/sessions/{session_id}", accept="text/html").replace(
        b"gzip, deflate, br", b"identity"
    )
    times = []
    for _ in range(1 + WARM):
        asked = time.perf_counter()
        reply = await visitor.ask(page)
        times.append((time.perf_counter() - asked) * MS)
        assert reply.status == 200, reply.head
    visitor.leave()
    return Shown(times[0], median(times[1:]), len(reply.body) / KIB)


class _Imported(msgspec.Struct):
    session_id: str
