"""The ways in which a model double can misbehave, as one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Ending = Literal["end", "hang", "reset", "close", "garbage", "error", "no-mark"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the double does to one generation. Without changes it is a well-behaved model server."""

    status: int = 200
    message: str = ""  # of an answer other than 200
    code: str = ""
    before_headers: Literal["go", "hang", "close", "garbage"] = "go"
    tokens: int = 8  # before the ending
    pace: float = 0.0  # s between tokens
    ending: Ending = "end"
    drip: bool = False  # every byte in a write of its own
    drip_pace: float = 0.0  # s between those bytes
    deaf: float = 0.0  # s that it goes on as if nobody had left, after its client has
    padding: int = 0  # bytes that one extra field of every chunk carries
    reasoning: int = 0  # pieces of reasoning before the tokens


FAULTS: dict[str, Fault] = {
    "none": Fault(),
    "reasoning": Fault(reasoning=3),
    "steady": Fault(tokens=500, pace=0.01),
    "flood": Fault(tokens=20_000),
    "hang-before-headers": Fault(before_headers="hang"),
    "hang-before-first": Fault(tokens=0, ending="hang"),
    "hang-middle": Fault(tokens=3, ending="hang"),
    "drip": Fault(drip=True, tokens=4, reasoning=1),
    "drip-slowly": Fault(drip=True, drip_pace=1.0),
    "deaf": Fault(tokens=40, pace=0.05, deaf=2.0),
    "close-before-headers": Fault(before_headers="close"),
    "garbage-before-headers": Fault(before_headers="garbage"),
    "reset": Fault(tokens=3, ending="reset"),
    "close": Fault(tokens=3, ending="close"),
    "garbage": Fault(tokens=3, ending="garbage"),
    "error": Fault(tokens=3, ending="error", message="the model ran out of memory"),
    "missing-end": Fault(tokens=3, ending="no-mark"),
    "big-line": Fault(tokens=2, padding=10_000_000),
    "huge-line": Fault(tokens=1, padding=17_000_000),
    "missing-model": Fault(status=404, message="model 'nope' not found"),
    "wrong-path": Fault(status=404, message="404 page not found"),
    "unauthorised": Fault(status=401, message="Incorrect API key provided: secret-key"),
    "bad-request": Fault(status=400, message="bad\u0000 \u001b[31mrequest " + "x" * 1000),
    "server-error": Fault(status=500, message="the GPU caught fire"),
    "context": Fault(
        status=400, code="exceed_context_size_error", message="the request exceeds the available context size"
    ),
    "context-in-band": Fault(tokens=0, ending="error", message="maximum context length is 10 tokens"),
}
