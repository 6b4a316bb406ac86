"""The smallest relay that can be written with aiohttp: a request in, a request out, each piece passed on as it comes.

It knows no sessions, no stop, no cursor, no second viewer. As a program:
`python -m tests.benchmarks.load.servers.relay MODEL_URL`.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web


async def serve(model_url: str) -> None:
    """Serve on a free port until the process is ended."""
    connector = aiohttp.TCPConnector(limit=0)  # its default would let the 101st stream wait
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:

        async def relay(request: web.Request) -> web.StreamResponse:
            async with http.post(model_url + "/api/chat", data=await request.read()) as upstream:
                response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
                await response.prepare(request)
                by_line = request.path == "/lines"
                async for piece in upstream.content if by_line else upstream.content.iter_any():
                    await response.write(piece)
                return response

        app = web.Application()
        app.router.add_post("/pieces", relay)  # whatever has arrived, in one write: the cheapest
        app.router.add_post("/lines", relay)  # a write for each line, as examples have it
        # handler_cancellation: as in the server beside it, a client that leaves is noticed at once.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1]))
