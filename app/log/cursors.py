"""Cursors: places in a session log, as clients keep them."""

from __future__ import annotations

import re
from typing import NamedTuple

_CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")


class Cursor(NamedTuple):
    """A place in a session log: the entries after `seq`, in the log of that `epoch`."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """Return the cursor written as `<epoch>-<seq>`, or `None` if `text` is not one."""
        match = _CURSOR.fullmatch(text)
        return cls(int(match[1]), int(match[2])) if match else None
