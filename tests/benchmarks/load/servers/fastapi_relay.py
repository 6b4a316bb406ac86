"""A relay as it is usually written with FastAPI, sse-starlette and httpx: an event for each line of the model.

As a program, in the environment of the peers: `python -m tests.benchmarks.load.servers.fastapi_relay MODEL_URL`.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fastapi
import httpx
import uvicorn
from sse_starlette.sse import EventSourceResponse


def application(model_url: str) -> Any:
    """Return the application."""
    # The default limits of httpx would let the 101st stream wait.
    client = httpx.AsyncClient(base_url=model_url, timeout=None, limits=httpx.Limits(max_connections=None))

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with client:
            yield

    async def chat(request: fastapi.Request) -> Any:
        body = await request.body()

        async def events() -> AsyncIterator[dict[str, str]]:
            async with client.stream("POST", "/api/chat", content=body) as upstream:
                async for line in upstream.aiter_lines():
                    yield {"event": "token", "data": line}

        return EventSourceResponse(events())

    app = fastapi.FastAPI(lifespan=lifespan)
    app.add_api_route("/chat", chat, methods=["POST"], response_model=None)
    return app


def main(model_url: str) -> None:
    """Serve on a free port until the process is ended, on uvloop and httptools."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(4096)
    config = uvicorn.Config(
        application(model_url), loop="uvloop", http="httptools", log_level="warning", access_log=False
    )
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1])
