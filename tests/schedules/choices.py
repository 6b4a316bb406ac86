"""A schedule is a list of choices. Where it says nothing, the choice is 0: what asyncio itself would do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import NamedTuple, Protocol

TOKEN = re.compile(r"(?P<name>[\w-]+)@(?P<choices>(\d+=\d+(,\d+=\d+)*)?)")


class Departures(NamedTuple):
    """A schedule as its departures from the default: step number -> choice, the latter above 0."""

    at: Mapping[int, int]

    def __str__(self) -> str:
        return ",".join(f"{step}={choice}" for step, choice in sorted(self.at.items()))


def write_token(name: str, departures: Mapping[int, int]) -> str:
    """Return the text that replays a schedule of a scenario."""
    return f"{name}@{Departures(departures)}"


def read_token(token: str) -> tuple[str, dict[int, int]]:
    """Return the scenario's name and the departures. Raises `ValueError`."""
    match = TOKEN.fullmatch(token)
    if match is None:
        raise ValueError(f"not a schedule: {token!r}. One looks like two-posts@3=1,17=2")
    pairs = (pair.split("=") for pair in match["choices"].split(",") if pair)
    return match["name"], {int(step): int(choice) for step, choice in pairs}


class Chooser(Protocol):
    """Decides each step of a run, and remembers what could have been decided."""

    chosen: bytearray  # per step
    options: bytearray  # per step, how many there were

    def choose(self, options: int, usual: int) -> int:
        """Return one of `options`, the first `usual` of which happen in every program on every day."""
        ...


class Scripted:
    """Follows a script, and the default beyond it. A choice that does not exist falls back to the last that does."""

    def __init__(self, script: Mapping[int, int]) -> None:
        self.chosen = bytearray()
        self.options = bytearray()
        self._script = script

    def choose(self, options: int, usual: int) -> int:
        choice = min(self._script.get(len(self.chosen), 0), options - 1)
        self.chosen.append(choice)
        self.options.append(min(options, 255))
        return choice


class Walking:
    """Chooses at random, from a seed: mostly the usual, now and then what is rare."""

    def __init__(self, random: Random) -> None:
        self.chosen = bytearray()
        self.options = bytearray()
        self._random = random
        # Each walk has its own temper: some barely leave the path, some never stay on it.
        self._rare = random.choice((0.02, 0.05, 0.15, 0.3))

    def choose(self, options: int, usual: int) -> int:
        random = self._random.random
        if options > usual and random() < self._rare:
            choice = usual + int(random() * (min(options, 255) - usual))
        else:
            choice = int(random() * usual)
        self.chosen.append(choice)
        self.options.append(min(options, 255))
        return choice


def departures(chosen: bytearray) -> dict[int, int]:
    """Return where a run left the default."""
    return {step: choice for step, choice in enumerate(chosen) if choice}
