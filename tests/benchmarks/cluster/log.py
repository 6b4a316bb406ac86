"""What a token costs in a log that Redis keeps, over one in memory: `python -m tests.benchmarks.cluster.log`.

So many sessions get a token each in one turn of the loop, and the next when all of them are acknowledged: no two tokens
of a session are joined, so this is the dearest case. Measured is the processor time of this process, without Valkey's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

import structlog

from app.log.entries import Prompt, Start
from app.log.memory_log import MemoryLog
from app.log.session_log import SessionLog
from app.log.shared.shared_logs import SharedLogs
from tests.support.valkey import running_valkey

TOKENS = 20_000  # in a measurement
ROUNDS = 5  # measurements, of which the median counts
SESSIONS = (1, 10, 100)
BYTES = 10**8
GOAL = 10.0  # µs

Settle = Callable[[Sequence[SessionLog]], Awaitable[None]]


async def cost(logs: Sequence[SessionLog], settle: Settle) -> float:
    """Return the processor time of a token, in µs."""
    for number, log in enumerate(logs):
        await log.append(1, Start(f"s{number}", "m", "a/b", Prompt("p", "hello")))
    await settle(logs)
    position, times = 0, []
    for _ in range(ROUNDS + 1):  # the first one warms up
        began, count = time.process_time(), 0
        while count < TOKENS:
            for number, log in enumerate(logs):
                log.append_text(1, "token", f"s{number}", position, [" token"])
            await settle(logs)
            position += 1
            count += len(logs)
        times.append((time.process_time() - began) / count * 1e6)
    return median(times[1:])


async def no_wait(_logs: Sequence[SessionLog]) -> None:
    """What is in memory is there at once; the turn of the loop counts for both."""
    await asyncio.sleep(0)


async def acknowledged(logs: Sequence[SessionLog]) -> None:
    """Wait for the last listener."""
    newest = max(log.promise(0) for log in logs)
    done = asyncio.get_running_loop().create_future()
    left = sum(log.head < newest for log in logs)
    if not left:
        return

    def listen(_entry: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set_result(None)

    for log in logs:
        log.listen(listen)
    await done
    for log in logs:
        log.forget(listen)


async def waited(logs: Sequence[SessionLog]) -> None:
    """The same for the last session alone: replies come in order."""
    await acknowledged(logs[-1:])


async def main() -> None:
    """Print a table."""
    loop = asyncio.get_running_loop()
    with running_valkey() as server:
        shared = SharedLogs(
            server.url, max_bytes=BYTES, seconds=60, logger=structlog.get_logger(), on_fenced=print
        )
        await shared.start()
        print("sessions  memory  shared  added (µs of processor time a token)")
        for sessions in SESSIONS:
            memory = await cost(
                [MemoryLog(1, max_bytes=BYTES, clock=loop.time) for _ in range(sessions)], no_wait
            )
            logs = [await shared.open(f"{sessions}-{number}", 1) for number in range(sessions)]
            ours = await cost(logs, waited)
            print(f"{sessions:8}  {memory:6.1f}  {ours:6.1f}  {ours - memory:5.1f}", flush=True)
        await shared.close()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
