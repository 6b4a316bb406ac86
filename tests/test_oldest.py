"""Which Python the heart's tests run on beside the usual one."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.oldest import HEART, ROOT, Python, asked, older_than

FOUND = [Python((3, 13, 0), "c"), Python((3, 11, 2), "a"), Python((3, 11, 7), "b"), Python((3, 10, 13), "x")]


def test_it_is_the_oldest_that_is_supported() -> None:
    """Older than the one in use, and not older than the promise."""
    assert older_than((3, 13, 0), FOUND) == FOUND[1]
    assert older_than((3, 11, 7), FOUND) == FOUND[1]


def test_there_may_be_none() -> None:
    """The one in use is the oldest itself."""
    assert older_than((3, 11, 2), FOUND) is None
    assert older_than((3, 13, 0), [FOUND[3]]) is None


def test_an_interpreter_is_asked_for_its_version(tmp_path: Path) -> None:
    """What does not run is left out."""
    assert asked(sys.executable) == Python(sys.version_info[:3], sys.executable)
    assert asked(str(tmp_path / "none")) is None
    assert asked("/bin/false") is None


def test_what_it_runs_is_there() -> None:
    """No part is left out because its folder has another name by now."""
    assert [path for path in HEART if not (ROOT / path).exists()] == []
