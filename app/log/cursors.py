"""Cursors: the positions in a session log that clients store."""

from __future__ import annotations

import re
from typing import NamedTuple

_CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")


class Cursor(NamedTuple):
    """A position in the log of `epoch`. Reading from it returns the entries after `seq`."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """Parse `<epoch>-<seq>`. Return `None` if `text` is not a cursor."""
        match = _CURSOR.fullmatch(text)
        return cls(int(match[1]), int(match[2])) if match else None
