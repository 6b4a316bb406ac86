"""The model double in a process of its own: `python -m tests.benchmarks.soak.model PORT`, until it is ended."""

from __future__ import annotations

import asyncio
import sys

from tests.doubles.ollama import OllamaDouble


async def main(port: int) -> None:
    """Serve on `port`; 0 takes a free one. The address is printed."""
    double = OllamaDouble()
    double._port = port
    async with double:
        print(double.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
