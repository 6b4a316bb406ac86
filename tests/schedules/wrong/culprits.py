"""The list of the wrong ones: each with the scenario that tempts it, and the invariants that it has to break."""

from __future__ import annotations

from typing import NamedTuple

from tests.schedules.operations import Come, Post, Stop
from tests.schedules.scenario import Scenario
from tests.schedules.upstream import Behaviour
from tests.schedules.world import Subject
from tests.schedules.wrong.ending import (
    CleansUpInFinally,
    EndsBeforeClosing,
    PopsWithoutCompare,
    StopNamesTheSession,
)
from tests.schedules.wrong.lining_up import FreesAtTheSignal, LosesTheCall, ServesTheDead
from tests.schedules.wrong.reading import AppendsWithoutFence, LosesWakeUps
from tests.schedules.wrong.waiting import (
    CancelsEveryTime,
    ClaimsAfterAnAwait,
    Report,
    WaitForIsTheBound,
    WaitsForTheLastOnly,
    WaitsThenRegisters,
)

SLOW = Behaviour(closes="when told")
DEAF = Behaviour(deaf="reading", hears_after=8.0)
TALKATIVE = Behaviour(deaf="reading", hears_after=3.0, talks_on=True)

IN_A_ROW = Scenario("in-a-row", ((Post("a1", SLOW), Post("a2"), Post("a3")),))
AT_ONCE = Scenario("at-once", ((Post("a1"),), (Post("a2"),)))
STOPPED = Scenario("stopped", ((Post("a1"), Stop("a1")),))
OLD_STOPS = Scenario("old-stops", ((Post("a1", SLOW), Post("a2")), (Stop("a1"),)))
HARD_OF_HEARING = Scenario("hard-of-hearing", ((Post("a1", DEAF), Post("a2")),))
LAST_WORD = Scenario("last-word", ((Post("a1", TALKATIVE), Post("a2")),))
ONE_SLOT = Scenario("one-slot", ((Post("a1", SLOW), Stop("a1")), (Post("b1"),)), answers=1)
LEFT_IN_LINE = Scenario("left-in-line", ((Post("a1"),), (Post("b1"), Stop("b1")), (Post("c1"),)), answers=1)
WATCHED = Scenario("watched", ((Come("v", "a"),), (Post("a1"),)))

GROUND = [IN_A_ROW, AT_ONCE, STOPPED, OLD_STOPS, HARD_OF_HEARING, LAST_WORD]


class Culprit(NamedTuple):
    """One mistake, who makes it, where, and what it breaks."""

    mistake: str
    subject: Subject
    scenario: Scenario
    breaks: frozenset[int]


CULPRITS = [
    Culprit("the report's own register", Subject(Report), IN_A_ROW, frozenset({4})),
    Culprit(
        "waits outside the lock, then registers", Subject(WaitsThenRegisters), IN_A_ROW, frozenset({1, 3})
    ),
    Culprit(
        "waits for the immediate predecessor only", Subject(WaitsForTheLastOnly), IN_A_ROW, frozenset({1, 3})
    ),
    Culprit("cancels every time", Subject(CancelsEveryTime), IN_A_ROW, frozenset({1, 7})),
    Culprit("wait_for as the bound", Subject(WaitForIsTheBound), HARD_OF_HEARING, frozenset({5})),
    Culprit("pops without compare", Subject(PopsWithoutCompare), IN_A_ROW, frozenset({1, 3})),
    Culprit("cleans up only in finally", Subject(CleansUpInFinally), STOPPED, frozenset({2})),
    Culprit("appends without fence", Subject(AppendsWithoutFence), LAST_WORD, frozenset({6})),
    Culprit("ends before the upstream is closed", Subject(EndsBeforeClosing), IN_A_ROW, frozenset({1, 7})),
    Culprit("claims after an await", Subject(ClaimsAfterAnAwait), AT_ONCE, frozenset({1, 3})),
    Culprit("a stop that names the session", Subject(StopNamesTheSession), OLD_STOPS, frozenset({4})),
    Culprit("frees a slot at the signal", Subject(FreesAtTheSignal), ONE_SLOT, frozenset({11})),
    Culprit("serves a stream that has left", Subject(ServesTheDead), LEFT_IN_LINE, frozenset({8, 12})),
    Culprit("tells nobody of a free slot", Subject(LosesTheCall), ONE_SLOT, frozenset({12})),
    Culprit("a lost wake-up in the reader of the log", Subject(viewer=LosesWakeUps), WATCHED, frozenset({9})),
]
