"""Imports agents by name: `module:attribute` or `name=module:attribute`."""

from __future__ import annotations

import importlib
import inspect
import re
import traceback
from collections.abc import Mapping, Sequence
from types import ModuleType

from app.agent import Agent

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
EXPECTED = "an agent is an async generator function: `async def answer(chat)` with `yield` in it"


class AgentUnusable(Exception):
    """An agent cannot be used. The message says why, and what to do about it."""


def load(entries: Sequence[str]) -> dict[str, Agent]:
    """Return the agents by name. Without a name, an agent has that of its attribute. Raises `AgentUnusable`."""
    agents: dict[str, Agent] = {}
    for entry in entries:
        name, found, place = entry.rpartition("=")
        name = name if found else place.rpartition(":")[2].rpartition(".")[2]
        if name in agents:
            raise AgentUnusable(f"two agents have the name {name!r}. Name one of them: another={place}")
        agents[name] = _agent(place)
    return agents


def checked(agents: Mapping[str, Agent]) -> dict[str, Agent]:
    """Return agents that were not imported by name. Raises `AgentUnusable`, as `load` does."""
    for name, found in agents.items():
        if re.fullmatch(NAME, name) is None:
            raise AgentUnusable(f"{name!r} is no name for an agent: use letters, digits and ._-")
        _check(found, name)
    return dict(agents)


def _agent(place: str) -> Agent:
    module_name, _, attributes = place.partition(":")
    found: object = _module(module_name, place)
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise AgentUnusable(f"{place}: {module_name} has no {attributes!r}") from None
    return _check(found, place)


def _check(found: object, place: str) -> Agent:
    if not callable(found) or not _is_generator_function(found):
        raise AgentUnusable(f"{place} is {_kind(found)}; {EXPECTED}")
    agent: Agent = found
    return agent


def _module(name: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if (
            isinstance(error, ModuleNotFoundError)
            and error.name is not None
            and f"{name}.".startswith(f"{error.name}.")
        ):
            advice = "Start Tailrace in its folder, add the folder to PYTHONPATH, or install the package"
            raise AgentUnusable(f"{place}: there is no module {error.name!r}. {advice}") from error
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
        where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
        raise AgentUnusable(
            f"{place}: importing {name} failed{where}: {type(error).__name__}: {error}"
        ) from error


def _is_generator_function(found: object) -> bool:
    """Return whether calling `found` makes an async generator. It may be an object with such a `__call__`."""
    call = getattr(type(found), "__call__", None)  # noqa: B004 - the method itself is looked at
    return inspect.isasyncgenfunction(found) or inspect.isasyncgenfunction(call)


def _kind(found: object) -> str:
    if inspect.iscoroutinefunction(found):
        return "a coroutine function without `yield`"
    if inspect.isclass(found):
        return "a class"
    return "a plain function" if callable(found) else f"of type {type(found).__name__}"
