"""Large scenarios made from a seed: eight sessions, forty operations, every kind of trouble."""

from __future__ import annotations

from random import Random

from app.chat.states import IfActive
from app.streams.bounds import Bounds
from tests.schedules.operations import (
    Again,
    Come,
    Cut,
    Delete,
    HangUp,
    How,
    Leave,
    Operation,
    Post,
    Resume,
    Shutdown,
    Stall,
    Stop,
    StopSession,
)
from tests.schedules.scenario import Scenario
from tests.schedules.upstream import Behaviour

SESSIONS = "abcdefgh"
OPERATIONS = 40
PREFIX = "walk-"
ANEW: tuple[How, ...] = ("regenerate", "continue")
HOW: tuple[IfActive, ...] = ("supersede", "supersede", "supersede", "enqueue", "reject", "rollback")


def walk(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    random = Random(seed)
    lanes: list[list[Operation]] = [[] for _ in SESSIONS]
    for _ in range(OPERATIONS):
        session_id = random.choice(SESSIONS)
        lane = lanes[SESSIONS.index(session_id)]
        lane += _some(random, session_id, lane)
    trouble: list[Operation] = []
    if random.random() < 0.3:
        trouble += [Cut(random.choice(("conductor", "producer", "register"))) for _ in range(2)]
    if random.random() < 0.3:
        trouble.append(Shutdown(patience=random.choice((0.0, 3.0))))
    bounds = Bounds(
        viewer_grace=random.choice((None, 0.0, 4.0)),
        arrival_grace=6.0,
        first_token_timeout=12.0,
        token_timeout=9.0,
        queue_limit=2,
        line_timeout=15.0,
        line_limit=random.choice((3, 100)),
    )
    answers = random.choice((None, None, 1, 3))
    return Scenario(f"{PREFIX}{seed}", (*map(tuple, lanes), tuple(trouble)), bounds, answers=answers)


def _some(random: Random, session_id: str, lane: list[Operation]) -> list[Operation]:
    """Return the next operation of a session, or the few that belong together."""
    posts = [operation.label for operation in lane if isinstance(operation, (Post, Again))]
    kind = random.random()
    if kind < 0.5 or not posts:
        return [Post(f"{session_id}{len(posts) + 1}", _behaviour(random), random.choice(HOW))]
    if kind < 0.6:
        of, how = random.choice(posts), random.choice(ANEW)
        return [Again(f"{session_id}{len(posts) + 1}", of, how, _behaviour(random))]
    if kind < 0.7:
        return [Stop(posts[-1])]
    if kind < 0.78:
        return [HangUp(posts[-1])]
    if kind < 0.83:
        return [StopSession(session_id)]
    if kind < 0.86:
        return [Delete(session_id)]
    name = f"v{session_id}{len(lane)}"
    came = [Come(name, session_id, random.choice((None, posts[-1])))]
    return [*came, *random.choice(([], [Leave(name)], [Stall(name), Resume(name)], [Stall(name)]))]


def _behaviour(random: Random) -> Behaviour:
    return Behaviour(
        tokens=random.choice((0, 1, 1, 3)),
        ends=random.choice(("complete", "complete", "complete", "error", "crash", "silent")),
        closes=random.choice(("at once", "at once", "when told", "late", "never")),
        close_raises=random.random() < 0.1,
        deaf=random.choice(("", "", "", "", "reading", "closing")),
        talks_on=random.random() < 0.3,
    )
