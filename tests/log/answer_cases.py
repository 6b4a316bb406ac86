"""What a log says of an answer, and what is shown then: `AnswerView` and `static/state/reducer.js` do the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple


class Case(NamedTuple):
    """Entries as pairs of name and data (`stream_id` is "s" where they do not say), and what they come to."""

    name: str
    entries: list[tuple[str, dict[str, Any]]]
    shown: dict[str, Any]


def cases() -> list[Case]:
    """Return the cases of `answer_cases.json`."""
    read = json.loads(Path(__file__).with_name("answer_cases.json").read_text(encoding="utf-8"))
    return [Case(**case) for case in read]
