"""Model servers that attack whoever asks them: `python -m tests.doubles.hostile` prints their address.

The first step of the path says what a server's list of models is, or what the details of its models are, and a prompt
says `attack=name`. It is a process of its own, so that what it costs to send is not measured.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
CHUNKED = HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked")
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
MIB = 1024 * 1024
FLOOD = 300 * MIB
SHORT = (b"/models", b"/api/")  # what is closed after its answer
_ATTACK = re.compile(rb"attack=([\w-]+)")


def repeated(piece: bytes, size: int = FLOOD) -> Iterator[bytes]:
    """Yield so many bytes of a piece, again and again."""
    block = piece * (256 * 1024 // len(piece) + 1)
    for _ in range(size // len(block) + 1):
        yield block


def said(text: str, **more: object) -> bytes:
    """Return an event with a text."""
    return b"data: %b\n\n" % json.dumps({"choices": [{"delta": {"content": text}}], **more}).encode()


def ended(reason: str = "stop", **more: object) -> bytes:
    """Return the end of an answer."""
    value = {"choices": [{"delta": {}, "finish_reason": reason}], **more}
    return b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(value).encode()


def _names(count: int, size: int = 0) -> bytes:
    return b'{"data":[%b]}' % b",".join(b'{"id":"m%d%b"}' % (each, b"x" * size) for each in range(count))


def _lengths(count: int) -> bytes:
    return b",".join(b'"a%d.context_length":0' % each for each in range(count))


def _tags() -> bytes:
    digest = b"0" * 64
    return b'{"models":[%b]}' % b",".join(
        b'{"name":"m%d:latest","digest":"%b"}' % (each, digest) for each in range(TAGGED)
    )


def _bomb() -> Iterator[bytes]:
    packed = gzip.compress(b" " * (64 * MIB) + _names(3), 9)
    yield JSON + b"Content-Encoding: gzip\r\n\r\n"
    yield from [packed] * 32  # 2 GiB: several members of a gzip file are one


LISTS: dict[str, Callable[[], Iterable[bytes]]] = {
    "gzip": _bomb,
    "huge": lambda: [JSON + b'\r\n{"data":["', *repeated(b"x", 600 * MIB)],
    "told": lambda: [JSON + b"Content-Length: 629145600\r\n\r\n[", *repeated(b'"x",', 600 * MIB)],
    "million": lambda: [JSON + b"\r\n" + _names(1_000_000)],
    "many": lambda: [JSON + b"\r\n" + _names(40_000, 20)],
    "arrays": lambda: [JSON + b"\r\n[" + b"[]," * 1_300_000 + b"[]]"],
    "deep": lambda: [JSON + b"\r\n" + b'{"data":' * 400_000],
    "long": lambda: [JSON + b'\r\n{"data":[{"id":"%b"},{"id":"fine"}]}' % (b"n" * 60_000)],
    "odd": lambda: [
        JSON + b'\r\n["a\\u0000b","a\\nb","\\u202egpj","fine","fine","","  ","' + b"z" * 257 + b'"]'
    ],
    "interim": lambda: repeated(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 100 * MIB),
    "headers": lambda: [b"HTTP/1.1 200 OK\r\n", *repeated(b"X-Header: " + b"x" * 4000 + b"\r\n", 100 * MIB)],
    "redirect": lambda: [b"HTTP/1.1 302 Found\r\nLocation: /redirect/v1/models\r\nContent-Length: 0\r\n\r\n"],
    "error": lambda: [b"HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n", *repeated(b"no ", 100 * MIB)],
}
TAGGED = 500  # models of each hostile Ollama, so that their details are asked for without an end
# What a hostile Ollama says about each of its models: just below the bound of a short answer, if nothing else is said.
DETAILS: dict[str, Callable[[], Iterable[bytes]]] = {
    "shown-huge": lambda: [JSON + b'\r\n{"template":"', *repeated(b"x", 600 * MIB)],
    "shown-text": lambda: [JSON + b'\r\n{"template":"%b"}' % (b"x" * 3_900_000)],
    "shown-arrays": lambda: [JSON + b'\r\n{"model_info":{"tokens":[%b"a"]}}' % (b'"a",' * 970_000)],
    "shown-objects": lambda: [JSON + b'\r\n{"model_info":[%b{}]}' % (b"{}," * 1_300_000)],
    "shown-capabilities": lambda: [JSON + b'\r\n{"capabilities":[%b"x"]}' % (b'"completion",' * 300_000)],
    "shown-parameters": lambda: [JSON + b'\r\n{"parameters":"%b"}' % (b"num_ctx 1\\n" * 350_000)],
    "shown-lengths": lambda: [JSON + b'\r\n{"model_info":{%b}}' % _lengths(120_000)],
    "shown-some": lambda: [JSON + b'\r\n{"model_info":{%b}}' % _lengths(15_000)],  # within all bounds
}
CHATS: dict[str, Callable[[], Iterable[bytes]]] = {
    "interim": LISTS["interim"],
    "headers": LISTS["headers"],
    "redirect": LISTS["redirect"],
    "error": LISTS["error"],
    "empty-data": lambda: [HEAD, said("Hi"), *repeated(b"data:\n")],
    "empty-events": lambda: [HEAD, said("Hi"), *repeated(b"data:\n\n")],
    "held-data": lambda: [HEAD, said("Hi"), b"data: x\n", *repeated(b"data:\n")],
    "comments": lambda: [HEAD, said("Hi"), *repeated(b":\n")],
    "keep-alives": lambda: [HEAD, said("Hi"), *repeated(b": waiting\n\n")],
    "blank": lambda: [HEAD, said("Hi"), *repeated(b"\n")],
    "returns": lambda: [HEAD, said("Hi"), *repeated(b"\r")],
    "stray": lambda: [HEAD, said("Hi"), *repeated(b"x\n")],
    "fields": lambda: [HEAD, said("Hi"), *repeated(b"id\n")],
    "deltas": lambda: [HEAD, said("Hi"), *repeated(b'data: {"choices":[{"delta":{}}]}\n\n')],
    "before-text": lambda: [HEAD, *repeated(b":\n")],
    "letters": lambda: [HEAD, *repeated(b'data:{"choices":[{"delta":{"content":"a"}}]}\n', 180 * MIB)],
    "lists": lambda: [HEAD, *repeated(b'data:{"choices":[{"delta":{"content":["a"]}}]}\n', 180 * MIB)],
    "invalid": lambda: [
        HEAD,
        *repeated(b'data: {"choices":[{"delta":{"content":"a\xf0\x9f"}}]}\n\n', MIB // 2),
        ended(),
    ],
    "line": lambda: [HEAD, said("Hi"), b'data: {"a":"', *repeated(b"x y ", 15 * MIB)],
    "base64": lambda: [HEAD, said("Hi"), b'data: {"a":"', *repeated(b"x", 15 * MIB)],
    "extensions": lambda: [CHUNKED, b"%x\r\n%b\r\n1;a=" % (len(said("Hi")), said("Hi")), *repeated(b"x")],
    "numbers": lambda: [HEAD, b"data: [", *repeated(b"1,", 3 * MIB), b"1]\n\n"],
    "objects": lambda: [HEAD, b"data: [", *repeated(b"{},", 3 * MIB), b"{}]\n\n"],
    "parts": lambda: [
        HEAD,
        b'data: {"choices":[{"delta":{"content":[',
        *repeated(b'"a",', MIB),
        b'"a"]}}]}\n\n',
    ],
    "deep": lambda: [HEAD, b"data: " + b'{"error":{"message":' * 100_000 + b"\n\n"],
    "deep-error": lambda: [
        HEAD,
        b'data: {"error":' + b'{"code":"","error":' * 400 + b'""' + b"}" * 401 + b"\n\n",
    ],
    "reason": lambda: [HEAD, said("Hi"), ended("r" * 60_000)],
    "fields-long": lambda: [HEAD, said("Hi", id="i" * 60_000, model="m" * 60_000), ended(model="m" * 60_000)],
    "error-long": lambda: [HEAD, said("Hi"), b'data: {"error":{"message":"%b"}}\n\n' % (b"e" * 60_000)],
    "usage-negative": lambda: [HEAD, said("Hi"), ended(usage={"prompt_tokens": -7, "completion_tokens": -1})],
    "usage-huge": lambda: [
        HEAD,
        said("Hi", usage={"prompt_tokens": 2**63, "completion_tokens": 2**60}),
        ended(usage={"prompt_tokens": 2**200, "completion_tokens": 10**300}),
    ],
    "usage-floats": lambda: [
        HEAD,
        said("Hi"),
        ended(usage={"prompt_tokens": 1e300, "completion_tokens": float("inf")}),
    ],
    "usage-nan": lambda: [
        HEAD,
        said("Hi", usage={"prompt_tokens": float("nan"), "completion_tokens": 1.5}),
        ended(),
    ],
    "digits": lambda: [
        HEAD,
        b'data: {"choices":[{"delta":{"content":' + b"9" * 5000 + b"}}]}\n\n",
        said("Hi"),
        ended(),
    ],
}


class Hostile:
    """Serves the attacks."""

    async def serve(self) -> None:
        """Serve until the process is killed."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        async with server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            body = await reader.readexactly(int(found[1])) if found else b""
            for piece in self._pieces(head.split(b" ")[1].decode(), body):
                writer.write(piece)
                await writer.drain()
            if not any(short in head for short in SHORT):
                await reader.read()  # until the other side closes
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _pieces(self, path: str, body: bytes) -> Iterable[bytes]:
        if path.endswith("/models"):
            kind = path.split("/")[1]
            return LISTS[kind]() if kind in LISTS else [JSON + b'\r\n{"data":[{"id":"m"}]}']
        if path.endswith("/api/tags"):
            return [JSON + b"\r\n" + _tags()]
        if path.endswith("/api/show"):
            return DETAILS[path.split("/")[1]]()
        if path.endswith("/api/chat"):
            return [JSON + b'\r\n{"message":{"content":"Hi"},"done":true,"done_reason":"stop"}\n']
        attack = _ATTACK.search(body)
        if attack is None:
            return [HEAD, said("Hello"), ended()]
        return CHATS[attack[1].decode()]()


if __name__ == "__main__":
    try:
        asyncio.run(Hostile().serve())
    except KeyboardInterrupt:
        sys.exit(0)
