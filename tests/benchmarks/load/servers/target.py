"""A server under measurement, and how it is asked for an answer."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tests.benchmarks.load.model import NAME, Order
from tests.benchmarks.load.servers import usage

TAILRACE = "tailrace"
MEMORY = "tailrace, history in memory"
NODE = "node of a cluster"
RELAY = "relay"
BY_LINE = "relay by line"
NGINX = "nginx"
FASTAPI = "fastapi"
DIRECT = "direct"
PEERS = (NGINX, FASTAPI)  # that need not be there

_PATHS = {DIRECT: "/api/chat", NGINX: "/api/chat", RELAY: "/pieces", BY_LINE: "/lines", FASTAPI: "/chat"}
# As a browser's `fetch` sends it to its own site, in round figures.
_HEADERS = """Host: 127.0.0.1
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36
Accept-Encoding: gzip, deflate, br
Accept-Language: en-GB,en;q=0.9
Cache-Control: no-cache
Content-Type: application/json
"""


class Target(NamedTuple):
    """Something that answers an order with a stream of tokens. `pid` is `None` for the model itself."""

    name: str
    url: str
    pid: int | None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    @property
    def is_ours(self) -> bool:
        """Whether it speaks the protocol of this project."""
        return self.name in (TAILRACE, MEMORY, NODE)

    def request(self, order: Order, accept: str = "text/event-stream") -> bytes:
        """Return the whole HTTP request that asks for `order`; of ours, one that is answered with its events."""
        return self.raw("POST", *self.question(order), accept)

    def question(self, order: Order) -> tuple[str, bytes]:
        """Return the path and the body of the POST that asks for `order`."""
        if self.is_ours:
            body = msgspec.json.encode({"prompt": order.prompt, "model": f"ollama/{NAME}"})
            return f"/api/sessions/{order.session}/streams", body
        message = {"role": "user", "content": order.prompt}
        return _PATHS[self.name], msgspec.json.encode({"model": NAME, "messages": [message], "stream": True})

    def raw(self, method: str, path: str, body: bytes = b"", accept: str = "text/event-stream") -> bytes:
        """Return an HTTP request as bytes."""
        head = f"{method} {path} HTTP/1.1\n{_HEADERS}Accept: {accept}\nContent-Length: {len(body)}\n\n"
        return head.replace("\n", "\r\n").encode() + body

    def cpu(self) -> float:
        """Return the processor seconds used so far, see `usage`."""
        return 0.0 if self.pid is None else usage.cpu_seconds(self.pid)

    def memory(self) -> int:
        """Return the resident bytes, see `usage`."""
        return 0 if self.pid is None else usage.memory_bytes(self.pid)
