"""The commands of examples/README.md, and the programs that they start."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.deploy.running import running
from tests.support.ports import free_port
from tests.support.processes import ROOT, environment

README = ROOT / "examples/README.md"
SITE_PORT = "8000"  # of the document


class Command(NamedTuple):
    """How a program is started: the folder, its own environment, its arguments."""

    folder: Path
    env: dict[str, str]
    arguments: list[str]


def section(name: str) -> str:
    """Return the text under a heading."""
    text = README.read_text(encoding="utf-8")
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def installed(text: str) -> set[str]:
    """Return the packages that the commands install."""
    lines = re.findall(r"^pip install (.*)$", text, re.MULTILINE)
    return {re.sub(r"\[.*\]", "", package) for line in lines for package in shlex.split(line)}


def commands(name: str) -> list[Command]:
    """Return the programs that a section starts, one for each listing."""
    return [_command(block) for block in re.findall(r"```sh\n(.*?)```", section(name), re.DOTALL)]


def _command(block: str) -> Command:
    folder, env, arguments = ROOT, dict[str, str](), list[str]()
    for line in block.splitlines():
        words = shlex.split(line)
        if words[0] == "cd":
            folder = ROOT / words[1]
            continue
        while words and (words[0] == "export" or "=" in words[0]):
            key, _, value = words.pop(0).partition("=")
            if value:
                env[key] = value
        if words and words[0] == "python":
            arguments = words
    return Command(folder, env, arguments)


@contextmanager
def site(command: Command, folder: Path | None = None, /, **env: str) -> Iterator[str]:
    """Run a site of the examples on a free port, in place of the document's; yields its address.

    `folder` takes the place of the document's, too. `env` is set beside what the document sets.
    """
    port = free_port()
    arguments = [str(port) if word == SITE_PORT else word for word in command.arguments[1:]]
    host = "localhost" if "localhost" in arguments else "127.0.0.1"
    ours = {"PYTHONPATH": str(ROOT), "SITE_PORT": str(port)}
    whole = {**environment({}), **command.env, **ours, **env}
    with running([sys.executable, *arguments], port, cwd=folder or command.folder, env=whole):
        yield f"http://{host}:{port}"
