"""The child process of the embedded model: runs llama.cpp's own server until the parent ends.

Run as `python -m app.backends.embedded.child`. It reads its `Orders` as one line of JSON from standard input,
replies with one line of JSON (`Ready`) on standard output, and exits at the end of standard input: the kernel
closes that pipe however the parent dies.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

# Prompt tokens per batch. Between batches llama.cpp notices disconnected clients and serves the other slots; with its
# default of 2048, a stop takes many seconds on a slow machine. Prompt processing is 10 % slower with this value.
BATCH = 64


class Orders(msgspec.Struct):
    """The parameters from the parent. They are sent over a pipe: any local user can read command-line arguments."""

    weights: str  # path of a GGUF file
    alias: str  # the model's name on the API
    api_key: str
    prefix: str  # of all its paths, begins with a slash
    slots: int  # concurrent answers
    context: int  # tokens per slot
    threads: int
    socket: str | None = (
        None  # path of the Unix socket to make; `None`: a free port of the loopback interface
    )


class Ready(msgspec.Struct):
    """The child's reply when the model is loaded."""

    address: str  # http://127.0.0.1:port/prefix; with a Unix socket http://localhost/prefix


def main() -> None:
    """Serve until standard input is closed."""
    answer = _keep_stdout()
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    server = _serve(orders)
    root = server.listening_address if orders.socket is None else "http://localhost"
    answer.write(msgspec.json.encode(Ready(root + orders.prefix)) + b"\n")
    answer.flush()
    while sys.stdin.buffer.read(4096):
        pass
    if orders.socket is not None:  # the parent may have been killed
        shutil.rmtree(Path(orders.socket).parent, ignore_errors=True)
    os._exit(0)  # at once, even during an answer: it has no reader any more


def _keep_stdout() -> BinaryIO:
    """Return the original standard output, reserved for the reply; redirect all other output to standard error."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answer


def _serve(orders: Orders) -> Any:
    """Start the server and return it."""
    # Imported here, because the parent imports this module for its types; and by name, because it has no type hints.
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = orders.weights
    params.model_alias = {orders.alias}
    params.port = 0
    if orders.socket is not None:
        params.hostnames = [orders.socket]  # llama.cpp takes a name that ends with `.sock` for a path
    params.n_parallel = orders.slots
    params.n_ctx = orders.context * orders.slots  # llama.cpp divides it by the number of slots
    params.cpuparams.n_threads = orders.threads
    params.n_batch = params.n_ubatch = BATCH
    params.api_keys = [orders.api_key]
    params.api_prefix = orders.prefix  # below it, even `/health` and `/models` need the key
    params.cors_origins, params.cors_origins_explicit = "", True  # no web page may access it
    params.cors_methods, params.cors_headers, params.cors_credentials = "", "", False
    params.ui = False
    params.endpoint_slots = True
    params.cache_ram_mib = 0  # the default caches up to 8 GiB of earlier prompts
    params.verbosity = 1  # errors only
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
