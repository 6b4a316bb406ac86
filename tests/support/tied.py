"""A program that ends with its parent: `python -m tests.support.tied MODULE [ARGUMENT …]`.

It runs the module as `python -m` would, for as long as standard input is open. However the parent died, the kernel
closes that pipe.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)  # at once: nobody is left who would wait for an orderly end


def main(module: str) -> None:
    """Run `module`, with what follows it as its arguments."""
    threading.Thread(target=_end_with_stdin, name="parent", daemon=True).start()
    del sys.argv[0]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
