"""The limits of requests, as handlers know them."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes, seconds, and what is allowed at all."""

    max_prompt_bytes: int = 262_144
    max_image_bytes: int = 8 * 1024 * 1024  # of all images of a prompt together
    continuing: bool = True  # whether answers that broke off may be gone on with
    max_import_bytes: int = 64 * 1024 * 1024
    max_waiting: int = 256  # event streams of one owner for sessions that do not exist yet
    max_stop_wait: float = 5.0
    default_stop_wait: float = 2.0
    retry_after: int = 2

    @property
    def max_body_bytes(self) -> int:
        """A prompt's JSON may take six bytes for one (`\\u001f`), base64 takes four for three; there is more around."""
        return 6 * self.max_prompt_bytes + self.max_image_bytes * 4 // 3 + 65_536
