"""How long a dead node's answers take to end: `python -m tests.cluster.takeovers [ANSWERS]`.

Three real nodes with PostgreSQL and Valkey. All answers run on one of them, which is killed. The times are those from
then to the stored end of each answer.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import asyncpg

from tests.cluster.harness.model import MODEL
from tests.cluster.harness.running import running_cluster
from tests.support.client import Client
from tests.support.postgres import running_postgres
from tests.support.waiting import until_told

TTL = 6.0  # s, the default
PATIENCE = 60.0  # s
POSTS = 20  # at the same time
SEEN = "SELECT count(DISTINCT message_id) FROM pieces"
ENDED = "SELECT count(*) FROM streams WHERE outcome = 'interrupted'"


async def measure(database_url: str, folder: Path, answers: int) -> list[float]:
    """Return the seconds from the death of the node to the end of each answer, the shortest first."""
    settings = {"NODE_TTL": f"{TTL:g}", "SUPERSEDE_TIMEOUT": "2"}
    async with running_cluster(folder, database_url, settings=settings) as cluster:
        turns = asyncio.Semaphore(POSTS)

        async def ask(client: Client, number: int) -> None:
            async with turns:
                posted = await client.post(f"s{number}", "tokens=4000 pace=0.5", model=MODEL)
            if posted["http"] != 201:
                raise RuntimeError(f"a prompt was refused: {posted}")

        async with Client(cluster[0].url) as client:
            await asyncio.gather(*(ask(client, number) for number in range(answers)))
        times: list[float] = []
        connection = await asyncpg.connect(database_url, timeout=10)

        async def all_are_seen() -> bool:  # one without text would begin anew elsewhere
            return bool(await connection.fetchval(SEEN) == answers)

        async def all_have_ended() -> bool:
            ended = await connection.fetchval(ENDED)
            times.extend([asyncio.get_running_loop().time() - killed] * (ended - len(times)))
            return len(times) == answers

        try:
            await until_told(all_are_seen, within=PATIENCE)
            await cluster[0].kill()
            killed = asyncio.get_running_loop().time()
            await until_told(all_have_ended, within=PATIENCE)
        finally:
            await connection.close()
    return times


def main(arguments: list[str]) -> int:
    """Measure, and print the times."""
    answers = int(arguments[0]) if arguments else 500
    with running_postgres() as postgres, tempfile.TemporaryDirectory() as folder:

        async def run() -> list[float]:
            return await measure(await postgres.database(), Path(folder), answers)

        times = asyncio.run(run())
    half, most = times[len(times) // 2], times[len(times) * 9 // 10]
    print(
        f"{answers} answers: first {times[0]:.1f} s, p50 {half:.1f} s, p90 {most:.1f} s, last {times[-1]:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
