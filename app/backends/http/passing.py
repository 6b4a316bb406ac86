"""What the text of an answer passes through after it is decoded."""

from __future__ import annotations

from typing import Self

from app.backends.errors.masking import Masking, Secrets
from app.backends.http.continuation import Begun, Continuation
from app.chat.ports import Delta


class Passing:
    """Joins new text to an interrupted answer, and masks the server's secrets in it."""

    __slots__ = ("_joint", "_masking")

    def __init__(self, joint: Continuation | None, masking: Masking | None) -> None:
        self._joint = joint
        self._masking = masking

    @classmethod
    def of(cls, begun: Begun, secrets: Secrets) -> Self | None:
        """Return what an answer has to pass through, `None` if that is nothing."""
        joint = begun.joint
        masking = Masking(secrets, joint.given if joint is not None else "") if secrets else None
        return cls(joint, masking) if joint is not None or masking is not None else None

    def take(self, deltas: list[Delta], *, last: bool) -> list[Delta]:
        """Return what can be shown of the deltas; of the `last` ones, also what was held back."""
        if self._joint is not None:
            deltas = self._joint.join(deltas)
        if self._masking is not None:
            deltas = self._masking.take(deltas)
            if last:
                deltas += self._masking.flush()
        return deltas
