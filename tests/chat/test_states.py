"""The table of states."""

from __future__ import annotations

import pytest

from app.chat.errors import IllegalTransition
from app.chat.states import OUTCOMES, TRANSITIONS, Outcome, Reason, Status, advance


@pytest.mark.parametrize("current", list(Status))
@pytest.mark.parametrize("target", list(Status))
def test_only_the_steps_of_the_table_are_allowed(current: Status, target: Status) -> None:
    """A step that the table does not have raises, and one that it has is taken."""
    if target in TRANSITIONS[current]:
        assert advance(current, target) is target
    else:
        with pytest.raises(IllegalTransition):
            advance(current, target)


def test_every_state_leads_to_the_end_and_nothing_leads_out_of_it() -> None:
    """`ended` can be reached from everywhere and left for nowhere."""
    assert all(
        Status.ENDED in targets for status, targets in TRANSITIONS.items() if status is not Status.ENDED
    )
    assert not TRANSITIONS[Status.ENDED]


def test_every_reason_has_its_outcome() -> None:
    """A stop is a stop, and a shutdown is an interruption: they are never merged."""
    assert set(OUTCOMES) == set(Reason)
    assert OUTCOMES[Reason.USER_STOP] is Outcome.STOPPED
    assert OUTCOMES[Reason.SHUTDOWN] is Outcome.INTERRUPTED
