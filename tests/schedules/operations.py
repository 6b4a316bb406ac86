"""What users, the operator and bad luck do to the heart: the operations that scenarios are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from app.chat.states import IfActive
from tests.schedules.upstream import Behaviour

How = Literal["regenerate", "continue"]
WELL = Behaviour()


class World(Protocol):
    """What operations need of the world that they happen in."""

    def post(self, label: str, behaviour: Behaviour, if_active: IfActive, key: str | None) -> None: ...
    def again(self, label: str, behaviour: Behaviour, of: str, how: How) -> None: ...
    def claimed(self, label: str) -> bool: ...  # or refused
    def asked(self, label: str) -> bool: ...
    def stop(self, label: str) -> None: ...
    def stop_session(self, session_id: str) -> None: ...
    def delete_session(self, session_id: str, wait: float) -> None: ...
    def hang_up(self, label: str) -> None: ...
    def shut_down(self, patience: float) -> None: ...
    def victim(self, kind: str) -> Callable[[], Any] | None: ...
    def come(self, name: str, session_id: str, label: str | None) -> None: ...
    def leave(self, name: str, noticed: Literal["cancelled", "ticked"]) -> None: ...
    def watches(self, name: str) -> bool: ...
    def stall(self, name: str) -> None: ...
    def resume(self, name: str) -> None: ...


class Operation(Protocol):
    """One thing that happens from outside, when the explorer says so."""

    def possible(self, world: World) -> bool:
        """Tell whether it can happen now."""
        ...

    def happen(self, world: World) -> None:
        """Let it happen."""
        ...


@dataclass(frozen=True)
class Post:
    """A prompt. Its label is the session's name and a number: `a1`."""

    label: str
    behaviour: Behaviour = WELL
    if_active: IfActive = "supersede"
    key: str | None = None

    def __str__(self) -> str:
        how = "" if self.if_active == "supersede" else f" ({self.if_active})"
        return f"POST {self.label}{how}"

    def possible(self, world: World) -> bool:
        return True

    def happen(self, world: World) -> None:
        world.post(self.label, self.behaviour, self.if_active, self.key)


@dataclass(frozen=True)
class Again:
    """Another answer to a prompt that was asked as `of`, or more of the one that it got."""

    label: str
    of: str
    how: How
    behaviour: Behaviour = WELL

    def __str__(self) -> str:
        return f"{self.how.upper()} {self.of} AS {self.label}"

    def possible(self, world: World) -> bool:
        return world.claimed(self.of)

    def happen(self, world: World) -> None:
        world.again(self.label, self.behaviour, self.of, self.how)


@dataclass(frozen=True)
class Stop:
    """A DELETE of one stream; possible from the moment of its claim, before its first step. None if refused."""

    label: str

    def __str__(self) -> str:
        return f"STOP {self.label}"

    def possible(self, world: World) -> bool:
        return world.claimed(self.label)

    def happen(self, world: World) -> None:
        world.stop(self.label)


@dataclass(frozen=True)
class StopSession:
    """A DELETE of whatever runs in a session."""

    session_id: str

    def __str__(self) -> str:
        return f"STOP SESSION {self.session_id}"

    def possible(self, world: World) -> bool:
        return True

    def happen(self, world: World) -> None:
        world.stop_session(self.session_id)


@dataclass(frozen=True)
class Delete:
    """A DELETE of a session; `wait` is in seconds."""

    session_id: str
    wait: float = 2.0

    def __str__(self) -> str:
        return f"DELETE SESSION {self.session_id}"

    def possible(self, world: World) -> bool:
        return True

    def happen(self, world: World) -> None:
        world.delete_session(self.session_id, self.wait)


@dataclass(frozen=True)
class HangUp:
    """The client of a POST goes away, and its handler is cancelled."""

    label: str

    def __str__(self) -> str:
        return f"HANG UP {self.label}"

    def possible(self, world: World) -> bool:
        return world.asked(self.label)

    def happen(self, world: World) -> None:
        world.hang_up(self.label)


@dataclass(frozen=True)
class Shutdown:
    """The server stops; running answers have `patience` seconds."""

    patience: float = 0.0

    def __str__(self) -> str:
        return "SHUT DOWN"

    def possible(self, world: World) -> bool:
        return True

    def happen(self, world: World) -> None:
        world.shut_down(self.patience)


@dataclass(frozen=True)
class Cut:
    """Bad luck: the first live task of a kind (`conductor`, `producer`, `register`) is cancelled, once, anywhere."""

    kind: Literal["conductor", "producer", "register"]

    def __str__(self) -> str:
        return f"CUT {self.kind}"

    def possible(self, world: World) -> bool:
        return world.victim(self.kind) is not None

    def happen(self, world: World) -> None:
        if (cancel := world.victim(self.kind)) is not None:
            cancel()


@dataclass(frozen=True)
class Come:
    """A viewer opens a session, or one stream of it."""

    name: str
    session_id: str
    label: str | None = None

    def __str__(self) -> str:
        return f"{self.name} COMES"

    def possible(self, world: World) -> bool:
        return self.label is None or world.claimed(self.label)

    def happen(self, world: World) -> None:
        world.come(self.name, self.session_id, self.label)


@dataclass(frozen=True)
class Leave:
    """A viewer closes its connection; its handler is cancelled, or hears of it from the pulse."""

    name: str
    noticed: Literal["cancelled", "ticked"] = "cancelled"

    def __str__(self) -> str:
        return f"{self.name} LEAVES"

    def possible(self, world: World) -> bool:
        return world.watches(self.name)

    def happen(self, world: World) -> None:
        world.leave(self.name, self.noticed)


@dataclass(frozen=True)
class Stall:
    """A viewer reads no more: its transport is full."""

    name: str

    def __str__(self) -> str:
        return f"{self.name} STALLS"

    def possible(self, world: World) -> bool:
        return world.watches(self.name)

    def happen(self, world: World) -> None:
        world.stall(self.name)


@dataclass(frozen=True)
class Resume:
    """A viewer reads again."""

    name: str

    def __str__(self) -> str:
        return f"{self.name} READS ON"

    def possible(self, world: World) -> bool:
        return world.watches(self.name)

    def happen(self, world: World) -> None:
        world.resume(self.name)
