"""The child process of the embedded model: llama.cpp's own server, for as long as the parent lives.

Run as `python -m app.backends.embedded.child`. It reads its `Orders` as one line of JSON from standard input,
answers with one line of JSON (`Ready`) on standard output, and ends when standard input does: however the
parent died, the kernel closes that pipe.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, BinaryIO

import msgspec

# Tokens of a prompt that are read at a time. Between batches llama.cpp notices a client that has left and serves
# the other slots; with its own 2048 a stop takes many seconds on a slow machine. Reading is 10 % slower so.
BATCH = 64


class Orders(msgspec.Struct):
    """What the parent wants. They come by pipe: a key among the arguments could be read by any local user."""

    weights: str  # path of a GGUF file
    alias: str  # the model's name on the API
    api_key: str
    slots: int  # answers at a time
    context: int  # tokens per slot
    threads: int


class Ready(msgspec.Struct):
    """The child's answer once the model is loaded."""

    address: str  # http://127.0.0.1:port


def main() -> None:
    """Serve until standard input ends."""
    answer = _keep_stdout()
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    server = _serve(orders)
    answer.write(msgspec.json.encode(Ready(server.listening_address)) + b"\n")
    answer.flush()
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)  # at once, also in the middle of an answer: nobody is left to read it


def _keep_stdout() -> BinaryIO:
    """Return standard output for the answer alone, and send whatever else is printed to standard error."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answer


def _serve(orders: Orders) -> Any:
    """Start the server on a free loopback port and return it."""
    # Here and by name: the parent imports this module too, for its types, and the package has none itself.
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = orders.weights
    params.model_alias = {orders.alias}
    params.port = 0
    params.n_parallel = orders.slots
    params.n_ctx = orders.context * orders.slots  # llama.cpp divides it among the slots
    params.cpuparams.n_threads = orders.threads
    params.n_batch = params.n_ubatch = BATCH
    params.api_keys = [orders.api_key]
    params.cors_origins, params.cors_origins_explicit = "", True  # no page has business here
    params.cors_methods, params.cors_headers, params.cors_credentials = "", "", False
    params.ui = False
    params.endpoint_slots = True
    params.cache_ram_mib = 0  # by default up to 8 GiB of earlier prompts
    params.verbosity = 1  # errors only
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
