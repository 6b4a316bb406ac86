"""What can be done to an answer while its model server misbehaves, and how the answer then ends."""

from __future__ import annotations

from enum import StrEnum


class Act(StrEnum):
    """The columns of the table."""

    RUN = "let it run"
    STOP = "stop"
    SUPERSEDE = "supersede"
    LEAVE = "viewer leaves"
    SHUTDOWN = "server shutdown"


OUTCOMES = {
    Act.STOP: "stopped",
    Act.SUPERSEDE: "superseded",
    Act.LEAVE: "abandoned",
    Act.SHUTDOWN: "interrupted",
}
