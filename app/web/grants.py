"""What let a request in: its owner, and the open responses that end when access ends."""

from __future__ import annotations

from typing import Protocol


class AccessOver(Exception):
    """The access that let a request in ended before its body had arrived."""


class Cuttable(Protocol):
    """An open response."""

    def cut(self) -> None:
        """End it now, whatever is left to send. Synchronous, idempotent, never raises."""


class Grant:
    """Access of one owner through one credential. `end` cuts the responses that are still open."""

    __slots__ = ("_open", "is_admin", "is_over", "owner")

    def __init__(self, owner: str, *, is_admin: bool) -> None:
        self.owner = owner
        self.is_admin = is_admin
        self.is_over = False
        self._open: set[Cuttable] = set()

    def __repr__(self) -> str:
        return f"<Grant {self.owner} open={len(self._open)}{' over' if self.is_over else ''}>"

    @property
    def is_open(self) -> bool:
        """Whether it has let in a response that is still open."""
        return bool(self._open)

    def hold(self, response: Cuttable) -> None:
        """Cut `response` when the access ends, or now if it has ended."""
        self._open.add(response)
        if self.is_over:
            response.cut()

    def release(self, response: Cuttable) -> None:
        """`response` has ended. Idempotent."""
        self._open.discard(response)

    def end(self) -> None:
        """End the access: revoked, expired, or signed out. Idempotent."""
        self.is_over = True
        for response in tuple(self._open):
            response.cut()
