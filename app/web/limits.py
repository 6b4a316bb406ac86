"""The limits that handlers apply to requests."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`_bytes` fields are bytes; waits are seconds."""

    max_prompt_bytes: int = 262_144
    max_image_bytes: int = 8 * 1024 * 1024  # for all images of a prompt together
    continuing: bool = True  # whether interrupted answers may be continued
    max_import_bytes: int = 64 * 1024 * 1024
    max_answer_bytes: int = 4 * 1024 * 1024
    max_waiting: int = 256  # event streams per owner for sessions that do not exist yet
    owner_event_streams: int = 128  # open ones of each owner
    max_stop_wait: float = 5.0
    default_stop_wait: float = 2.0

    @property
    def max_text_bytes(self) -> int:
        """Of an imported message. Each time that an answer is continued it may grow a little beyond its bound."""
        return 2 * max(self.max_answer_bytes, self.max_prompt_bytes)

    @property
    def max_part_bytes(self) -> int:
        """Of an imported message as JSON: its images, or a text of which half the characters are escaped."""
        return max(self.max_body_bytes, 2 * self.max_text_bytes)

    @property
    def max_body_bytes(self) -> int:
        """JSON may escape one byte as six (`\\u001f`), base64 encodes three as four; 64 KiB for the other fields."""
        return 6 * self.max_prompt_bytes + self.max_image_bytes * 4 // 3 + 65_536
