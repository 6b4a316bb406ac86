"""What an operator sees of a node: gauges of this moment, and counters from its start on."""

from __future__ import annotations

import msgspec

from app.measures import Histogram


class NodeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A reading of a node of a cluster."""

    # Gauges
    node: str  # its id
    owned: int  # sessions
    peers: int  # other nodes that are alive
    redis: bool  # whether Redis responds
    lag: int  # events that are written and not shown, because Redis has not acknowledged them
    # Counters
    takeovers: int  # sessions taken from another node by force, or with unfinished answers
    interrupted: int  # answers that were ended for another node
    losses: int  # sessions that another node took
    fenced: int  # logs that another owner has fenced off
    repaired: int  # events that Redis had lost, and got again
    detached: int  # times that a log was shown without an acknowledgement of Redis
    passed_on: int  # requests to owner nodes
    round_trips: Histogram  # s, of commands to Redis
