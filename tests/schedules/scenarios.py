"""The scenarios: small ones, each a few operations around one danger."""

from __future__ import annotations

from app.streams.bounds import Bounds
from tests.schedules.histories import FullHistory
from tests.schedules.operations import (
    Again,
    Come,
    Cut,
    Delete,
    HangUp,
    Leave,
    Post,
    Resume,
    Shutdown,
    Stall,
    Stop,
    StopSession,
)
from tests.schedules.scenario import Lane, Scenario
from tests.schedules.upstream import Behaviour

LATE = Behaviour(closes="late")
TOLD = Behaviour(closes="when told")
NEVER = Behaviour(closes="never")
RAISES = Behaviour(close_raises=True)
DEAF = Behaviour(deaf="reading")
DEAF_CLOSING = Behaviour(closes="when told", deaf="closing")
SILENT = Behaviour(tokens=0, ends="silent")
FALLS_SILENT = Behaviour(tokens=1, ends="silent")
FAILS = Behaviour(ends="error")
CRASHES = Behaviour(ends="crash")

QUICK = Bounds(viewer_grace=None, first_token_timeout=5.0, token_timeout=3.0)
IN_LINE = Bounds(viewer_grace=None, line_timeout=30.0, first_token_timeout=50.0, token_timeout=40.0)
IMPATIENT = Bounds(viewer_grace=None, line_timeout=3.0)
SHORT_LINE = Bounds(viewer_grace=None, line_limit=1)
GRACE = Bounds(viewer_grace=10.0, arrival_grace=5.0)
AT_ONCE = Bounds(viewer_grace=0.0, arrival_grace=5.0)


def posts(*lanes: Lane) -> tuple[Lane, ...]:
    """Write the lanes of a scenario."""
    return lanes


SCENARIOS = [
    Scenario("one", posts((Post("a1"),))),
    Scenario("two", posts((Post("a1"), Post("a2")))),
    Scenario("two-told", posts((Post("a1", TOLD), Post("a2", TOLD)))),
    Scenario("two-late", posts((Post("a1", LATE), Post("a2")))),
    Scenario("two-never", posts((Post("a1", NEVER), Post("a2")))),
    Scenario("two-raises", posts((Post("a1", RAISES), Post("a2")))),
    Scenario("two-deaf", posts((Post("a1", DEAF), Post("a2")))),
    Scenario("two-deaf-closing", posts((Post("a1", DEAF_CLOSING), Post("a2")))),
    Scenario("two-fails", posts((Post("a1", FAILS), Post("a2")))),
    Scenario("two-crashes", posts((Post("a1", CRASHES), Post("a2")))),
    Scenario("racing", posts((Post("a1"),), (Post("a2"),))),
    Scenario("three", posts((Post("a1", TOLD),), (Post("a2"),), (Post("a3"),))),
    Scenario("three-deaf", posts((Post("a1", DEAF), Post("a2", DEAF), Post("a3")))),
    Scenario("four", posts((Post("a1", TOLD), Post("a2"), Post("a3"), Post("a4")))),
    Scenario("stop", posts((Post("a1", TOLD), Stop("a1")))),
    Scenario("stop-deaf", posts((Post("a1", DEAF), Stop("a1"), Post("a2")))),
    Scenario("stop-or-next", posts((Post("a1", TOLD), Stop("a1")), (Post("a2"),))),
    Scenario("stop-the-old", posts((Post("a1"), Post("a2")), (Stop("a1"),))),
    Scenario("stop-queued", posts((Post("a1", LATE), Post("a2")), (Stop("a2"),))),
    Scenario("stop-session", posts((Post("a1", TOLD), Post("a2")), (StopSession("a"),))),
    Scenario("stop-queue", posts((Post("a1", TOLD), Post("a2", if_active="enqueue")), (StopSession("a"),))),
    Scenario("stop-twice", posts((Post("a1", TOLD), Stop("a1")), (Stop("a1"),))),
    Scenario("reject", posts((Post("a1"),), (Post("a2", if_active="reject"),))),
    Scenario("enqueue", posts((Post("a1"),), (Post("a2", if_active="enqueue"),))),
    Scenario("enqueue-then-next", posts((Post("a1", TOLD), Post("a2", if_active="enqueue"), Post("a3")))),
    Scenario("rollback", posts((Post("a1"),), (Post("a2", if_active="rollback"),))),
    Scenario("rollback-of-two", posts((Post("a1", TOLD), Post("a2"), Post("a3", if_active="rollback")))),
    Scenario("regenerate", posts((Post("a1", TOLD), Again("a2", "a1", "regenerate")), (Post("a3"),))),
    Scenario(
        "regenerate-rollback",
        posts((Post("a1"), Again("a2", "a1", "regenerate", TOLD), Post("a3", if_active="rollback"))),
    ),
    Scenario("continue", posts((Post("a1", FAILS), Again("a2", "a1", "continue")))),
    Scenario(
        "continue-twice",
        posts((Post("a1", FAILS), Again("a2", "a1", "continue")), (Again("a3", "a1", "continue"),)),
    ),
    Scenario(
        "continue-or-next", posts((Post("a1", FAILS), Again("a2", "a1", "continue", TOLD)), (Post("a3"),))
    ),
    Scenario(
        "continue-rollback",
        posts((Post("a1", FAILS), Again("a2", "a1", "continue", TOLD)), (Post("a3", if_active="rollback"),)),
    ),
    Scenario("continue-shutdown", posts((Post("a1", FAILS), Again("a2", "a1", "continue")), (Shutdown(),))),
    Scenario("continue-delete", posts((Post("a1", FAILS), Again("a2", "a1", "continue")), (Delete("a"),))),
    Scenario("same-key", posts((Post("a1", key="k"),), (Post("a1", key="k"),))),
    Scenario("hang-up", posts((Post("a1"), HangUp("a1")), (Post("a2"),))),
    Scenario("delete", posts((Post("a1", TOLD),), (Delete("a"),))),
    Scenario("delete-then-next", posts((Post("a1", TOLD), Delete("a"), Post("a2")))),
    Scenario("delete-at-once", posts((Post("a1", LATE), Delete("a", wait=0), Post("a2")))),
    Scenario("delete-meanwhile", posts((Post("a1"), Delete("a")), (Post("a2"),))),
    Scenario("delete-deaf", posts((Post("a1", DEAF), Delete("a"), Post("a2")))),
    Scenario("shutdown", posts((Post("a1", TOLD), Post("a2")), (Shutdown(),))),
    Scenario("shutdown-deaf", posts((Post("a1", DEAF),), (Shutdown(),))),
    Scenario("shutdown-patient", posts((Post("a1"),), (Shutdown(patience=5),), (Post("b1", SILENT),))),
    Scenario("silent", posts((Post("a1", SILENT),)), QUICK),
    Scenario("falls-silent", posts((Post("a1", FALLS_SILENT),), (Post("a2"),)), QUICK),
    Scenario("disk-full", posts((Post("a1"),), (Post("a2"),)), history=FullHistory),
    Scenario("two-sessions", posts((Post("a1", DEAF), Post("a2")), (Post("b1"),))),
    Scenario("viewer", posts((Come("v", "a"), Leave("v")), (Post("a1"),)), GRACE),
    Scenario("viewer-stalls", posts((Come("v", "a"), Stall("v"), Resume("v")), (Post("a1"), Post("a2")))),
    Scenario(
        "viewer-of-one", posts((Post("a1"), Come("v", "a", "a1"), Stall("v"), Resume("v")), (Post("a2"),))
    ),
    Scenario("two-viewers", posts((Come("v", "a"), Leave("v", "ticked")), (Post("a1"), Come("w", "a")))),
    Scenario("abandoned", posts((Post("a1", SILENT), Come("v", "a"), Leave("v"))), GRACE),
    Scenario("abandoned-at-once", posts((Come("v", "a"), Post("a1", TOLD), Leave("v"), Post("a2"))), AT_ONCE),
    Scenario("viewer-meets-delete", posts((Post("a1"), Come("v", "a")), (Delete("a"),))),
    Scenario("viewer-meets-shutdown", posts((Post("a1"), Come("v", "a")), (Shutdown(),))),
    Scenario("viewer-of-deleted", posts((Come("v", "a"), Post("a1")), (Delete("a"),))),
    Scenario("cut-producer", posts((Post("a1", TOLD), Post("a2")), (Cut("producer"),))),
    Scenario("cut-clean-up", posts((Post("a1", TOLD), Stop("a1")), (Cut("producer"),))),
    Scenario("cut-conductor", posts((Post("a1", TOLD), Post("a2")), (Cut("conductor"),))),
    Scenario("cut-register", posts((Post("a1"),), (Post("a2"), Cut("register")))),
    Scenario("slot-two", posts((Post("a1"),), (Post("b1"),)), answers=1),
    Scenario("slot-told", posts((Post("a1", TOLD), Stop("a1")), (Post("b1"),)), answers=1),
    Scenario("slot-newer", posts((Post("a1", TOLD), Post("a2")), (Post("b1"),)), answers=1),
    Scenario("slot-newer-in-line", posts((Post("a1", LATE),), (Post("b1"), Post("b2"))), answers=1),
    Scenario("slot-stop-in-line", posts((Post("a1"),), (Post("b1"), Stop("b1")), (Post("c1"),)), answers=1),
    Scenario("slot-never", posts((Post("a1", NEVER), Post("a2")), (Post("b1"),)), answers=1),
    Scenario("slot-raises", posts((Post("a1", RAISES), Post("a2")), (Post("b1"),)), answers=1),
    Scenario("slot-deaf", posts((Post("a1", DEAF), Post("a2")), (Post("b1"),)), answers=1),
    Scenario("slot-deaf-closing", posts((Post("a1", DEAF_CLOSING), Stop("a1")), (Post("b1"),)), answers=1),
    Scenario("slot-fails", posts((Post("a1", FAILS),), (Post("b1", CRASHES),), (Post("c1"),)), answers=1),
    Scenario("slot-enqueue", posts((Post("a1"), Post("a2", if_active="enqueue")), (Post("b1"),)), answers=1),
    Scenario("slot-delete", posts((Post("a1", LATE),), (Post("b1"), Delete("b")), (Post("c1"),)), answers=1),
    Scenario("slot-shutdown", posts((Post("a1", TOLD),), (Post("b1"),), (Shutdown(),)), answers=1),
    Scenario("slot-patient", posts((Post("a1"),), (Post("b1"),), (Shutdown(patience=5),)), answers=1),
    Scenario(
        "slot-abandoned", posts((Post("a1"),), (Post("b1"), Come("v", "b"), Leave("v"))), GRACE, answers=1
    ),
    Scenario("slot-cut", posts((Post("a1", TOLD),), (Post("b1"),), (Cut("producer"),)), answers=1),
    Scenario("slot-cut-conductor", posts((Post("a1"),), (Post("b1"),), (Cut("conductor"),)), answers=1),
    Scenario("slot-silent", posts((Post("a1", SILENT),), (Post("b1"),)), IN_LINE, answers=1),
    Scenario("slot-impatient", posts((Post("a1", SILENT), Stop("a1")), (Post("b1"),)), IMPATIENT, answers=1),
    Scenario(
        "slot-refused", posts((Post("a1"),), (Post("b1"),), (Post("c1"), Post("c2"))), SHORT_LINE, answers=1
    ),
    Scenario("slots-three", posts((Post("a1", TOLD), Post("a2")), (Post("b1"),), (Post("c1"),)), answers=2),
]
