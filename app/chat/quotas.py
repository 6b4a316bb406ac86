"""What an owner, and the whole server, may store."""

from __future__ import annotations

import msgspec

from app.chat.errors import (
    OwnerBytes,
    OwnerPrompts,
    OwnerSessions,
    OwnerStreams,
    ServerFull,
    StorageFull,
)
from app.chat.scoped_ids import LOCAL

MESSAGE_BYTES = 512  # that each message counts beyond its text: rows and indexes take room as well

PROMPT_SECONDS = 60.0  # in which the prompts of an owner are counted


def is_limited(owner: str) -> bool:
    """Return whether the limits of owners apply: not to `local`, who has the server to themselves."""
    return owner != LOCAL


class UseLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The most that an owner may use at once. `None` is no limit."""

    owner_streams: int | None = None  # sessions with a running stream
    owner_prompts_per_minute: int | None = None


def too_many_running(running: int, most: int, retry_after: float) -> OwnerStreams:
    """Return the error for an owner with `running` answers."""
    return OwnerStreams(
        f"You have {running} answers in progress, and {most} are allowed at once. "
        "Stop one, or wait until one is complete.",
        retry_after,
    )


def too_many_prompts(most: int, wait: float) -> OwnerPrompts:
    """Return the error for an owner whose next prompt is allowed in `wait` seconds."""
    return OwnerPrompts(
        f"You have sent {most} messages or imported as many chats within a minute, which is the limit. "
        f"Try again in {max(1, round(wait + 0.5))} s.",
        wait,
    )


class Usage(msgspec.Struct, frozen=True):
    """What an owner has stored: sessions, and the bytes of their texts, images and options, in UTF-8."""

    sessions: int = 0
    bytes: int = 0


class StorageLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The most that may be stored. `None` is no limit."""

    owner_sessions: int | None = None
    owner_bytes: int | None = None
    stored_bytes: int | None = None  # of all owners together, `local` included
    free_disk_bytes: int = 0  # that the disk of the history must have left

    def of(self, owner: str) -> StorageLimits | None:
        """Return the limits that apply to what this owner stores, `None` if there are none."""
        mine = self if is_limited(owner) else StorageLimits(stored_bytes=self.stored_bytes)
        limits = (mine.owner_sessions, mine.owner_bytes, mine.stored_bytes)
        return None if all(limit is None for limit in limits) else mine


UNLIMITED = StorageLimits()


def refusal(limits: StorageLimits, after: Usage, stored: int, *, adds_session: bool) -> StorageFull | None:
    """Return the error if there is no room: the owner would have stored `after`, and all owners `stored` bytes."""
    if adds_session and limits.owner_sessions is not None and after.sessions > limits.owner_sessions:
        return OwnerSessions(
            f"You have {limits.owner_sessions:,} chats, which is the limit. Delete some first."
        )
    if limits.owner_bytes is not None and after.bytes > limits.owner_bytes:
        return OwnerBytes(
            f"Your chats may take up {limits.owner_bytes / 2**20:,.1f} MiB, and this would be more. "
            "Delete some chats first."
        )
    if limits.stored_bytes is not None and stored > limits.stored_bytes:
        return ServerFull("The server has no more space for chats. Delete some, or ask its operator.")
    return None
