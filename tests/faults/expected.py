"""The table of expected results: for every backend, every fault that can be had there."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.acts import OUTCOMES, Act

TRUNCATED = "failed upstream_truncated"
UNREACHABLE = "failed upstream_unreachable"
NO_FIRST = "failed first_token_timeout"
SILENT = "failed token_timeout"

LONG = 60.0  # s


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One fault, and how an answer ends under it.

    `natural` is the end when it is let run. Where a fault ends the answer at once (`quick`), that end may come before
    the act does: both are right. `closes` is false where the model server's side cannot be closed.
    """

    fault: str
    natural: str  # the outcome, and the code of an error
    quick: bool = False
    closes: bool = True
    marks: str = ""  # in the prompt, for the double: how many tokens, how fast
    speaks: bool = True  # whether tokens come before the fault
    short: float = 2.0  # s, of the timeout that the fault meets

    @property
    def patience(self) -> dict[str, float]:
        """The server's timeouts in seconds. Only that is short which the fault is to meet: a machine may be busy."""
        short = {NO_FIRST: "first_token_timeout", SILENT: "token_timeout"}
        timeouts = {"first_token_timeout": LONG, "token_timeout": LONG}
        if (met := short.get(self.natural)) is not None:
            timeouts[met] = self.short
        return timeouts

    def ends(self, act: Act) -> set[str]:
        """Return the ends that are right after an act."""
        if act is Act.RUN:
            return {self.natural}
        return {OUTCOMES[act], self.natural} if self.quick else {OUTCOMES[act]}


# Tokens before a quick fault are paced, so that most acts come into the middle of it.
PACED = "pace=0.02"

DOUBLES = (
    Expected(fault="refuse", natural=UNREACHABLE, quick=True, speaks=False),
    Expected(fault="close-before-headers", natural=UNREACHABLE, quick=True, speaks=False),
    Expected(fault="server-error", natural="failed upstream_rejected", quick=True, speaks=False),
    Expected(fault="hang-before-headers", natural=NO_FIRST, speaks=False),
    Expected(fault="hang-before-first", natural=NO_FIRST, speaks=False),
    Expected(fault="hang-middle", natural=SILENT),
    Expected(fault="drip-slowly", natural=NO_FIRST, speaks=False),
    Expected(fault="reset", natural=TRUNCATED, quick=True, marks=PACED),
    Expected(fault="garbage", natural="failed upstream_garbled", quick=True, marks=PACED),
    Expected(fault="error", natural="failed upstream_rejected", quick=True, marks=PACED),
    Expected(fault="missing-end", natural=TRUNCATED, quick=True, marks=PACED),
    Expected(fault="big-line", natural="complete", quick=True),
    Expected(fault="deaf", natural="complete"),
    Expected(fault="flood", natural="complete", marks="tokens=100000"),
)
SCRIPTED = (
    Expected(fault="hang-before-first", natural=NO_FIRST, speaks=False),
    Expected(fault="hang-middle", natural=SILENT),
    Expected(fault="error", natural="failed upstream_rejected", quick=True),
    Expected(fault="never-closes", natural="complete", closes=False),
    Expected(fault="deaf", natural="complete", closes=False),
)
AGENTS = (
    Expected(fault="hang-before-first", natural=NO_FIRST, speaks=False),
    Expected(fault="hang-middle", natural=SILENT),
    Expected(fault="failed", natural="failed agent_failed", quick=True),
    Expected(fault="crash", natural="failed agent_crashed", quick=True),
    Expected(fault="never-closes", natural="complete", closes=False),
    Expected(fault="deaf", natural="complete", closes=False),
)
EMBEDDED = (
    # The real model may take a second for a token, where a double never does.
    Expected(fault="hang-before-headers", natural=NO_FIRST, speaks=False, short=5.0),
    Expected(fault="hang-middle", natural=SILENT, short=4.0),
    Expected(fault="killed", natural=TRUNCATED, quick=True),
)
