"""How long the texts of a form may be together. Its files have a bound of their own."""

from __future__ import annotations

from app.web.problems import ProblemError
from app.web.rules import SYSTEM_BYTES

LINE_ENDS = 2  # bytes of a line end, which is stored as one
OTHERS = 64 * 1024  # bytes for all other fields than the prompt and the system prompt


class TextRoom:
    """The bytes that are left for the texts of one form."""

    def __init__(self, longest_prompt: int) -> None:
        self.bytes = LINE_ENDS * (longest_prompt + SYSTEM_BYTES) + OTHERS
        self._left = self.bytes

    def __repr__(self) -> str:
        return f"<TextRoom {self._left} of {self.bytes} bytes left>"

    def take(self, size: int) -> None:
        """Count that many bytes. Raises a 413 if there is no room for them."""
        self._left -= size
        if self._left < 0:
            raise ProblemError(
                413,
                "prompt_too_long",
                f"The texts of the form are too long together. The limit is {self.bytes} bytes.",
            )
