"""The commands `tailrace token add`, `list` and `revoke`. They work on the database, beside a running server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

import structlog

from app.chat.errors import HistoryUnavailable
from app.chat.scoped_ids import is_owner
from app.chat.tokens import Token, TokenStore
from app.config.settings import Settings
from app.history import opening
from app.history.errors import DatabaseUnusable
from app.private import private_folder
from app.tokens import new_token

T = TypeVar("T")

NOT_FOUND = 1  # exit code
HEADS = ("name", "admin", "made", "expires", "last used")


class TokenCommandError(Exception):
    """The command could not be carried out. The message says why, and what to do."""


class Added(NamedTuple):
    """What `add` was asked for."""

    name: str
    is_admin: bool
    days: int | None


def add(settings: Settings, wanted: Added) -> int:
    """Make a token and print it. Raises `TokenCommandError`."""
    if not is_owner(wanted.name):
        raise TokenCommandError(
            f"{wanted.name[:80]!r} can't be a name: use up to 128 letters, digits and ._@+|:-, beginning with a letter "
            "or digit"
        )
    text, token = new_token(wanted.name, is_admin=wanted.is_admin, days=wanted.days)
    if _run(settings, lambda store: store.put(token)):
        _note(f"the earlier token of {wanted.name} no longer works")
    if settings.mode != "tokens":
        _note("the server lets tokens in once TAILRACE_AUTH=tokens is set")
    print(text)
    return 0


def show(settings: Settings) -> int:
    """Print the tokens as a table. Raises `TokenCommandError`."""
    known = _run(settings, lambda store: store.known())
    now = datetime.now(UTC)
    rows = [HEADS, *(_row(token, now) for token in known.tokens)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def revoke(settings: Settings, name: str) -> int:
    """Revoke a token. Return 1 if there is none of this name. Raises `TokenCommandError`."""
    if is_owner(name) and _run(settings, lambda store: store.revoke(name)):  # no other name has a token
        return 0
    _note(f"there is no token {name[:80]!r}; see `tailrace token list`")
    return NOT_FOUND


def _run(settings: Settings, work: Callable[[TokenStore], Awaitable[T]]) -> T:
    try:
        return asyncio.run(_done(settings, work))
    except DatabaseUnusable as error:
        raise TokenCommandError(f"cannot open the history: {error}") from error
    except HistoryUnavailable as error:
        raise TokenCommandError(str(error)) from error
    except OSError as error:
        raise TokenCommandError(
            f"cannot use the data folder {settings.data_dir}: {error.strerror or error}"
        ) from error


async def _done(settings: Settings, work: Callable[[TokenStore], Awaitable[T]]) -> T:
    if settings.database_url is None:
        await asyncio.to_thread(_prepare, settings.data_dir)
    logger = structlog.get_logger()
    async with opening.tokens_beside(settings.database_url, settings.data_dir, logger=logger) as store:
        return await work(store)


def _prepare(folder: Path) -> None:
    """Make the data folder. Raises `TokenCommandError` if root would make files that the server cannot write."""
    private_folder(folder)
    owner = folder.stat().st_uid
    if os.name == "posix" and os.geteuid() == 0 != owner and not (folder / opening.FILE).exists():
        raise TokenCommandError(
            f"the folder {folder} belongs to another user. Run this command as the user of the server, with sudo -u"
        )


def _row(token: Token, now: datetime) -> Sequence[str]:
    return (
        token.name,
        "yes" if token.is_admin else "no",
        _when(token.created_at),
        "never" if token.expires_at is None else _when(token.expires_at) + _expired(token.expires_at, now),
        "never" if token.used_at is None else _when(token.used_at),
    )


def _when(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _expired(at: datetime, now: datetime) -> str:
    return " (expired)" if at <= now else ""


def _note(sentence: str) -> None:
    """Say something beside the output, which is for programs too."""
    print(f"tailrace: {sentence}", file=sys.stderr)
