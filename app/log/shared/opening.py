"""Becomes the owner of a log: marks it, so that Redis refuses what earlier owners still send, and reads it."""

from __future__ import annotations

from collections.abc import Callable

import hiredis

from app.chat.errors import Fenced, LogUnavailable
from app.log.shared.mirror import Mirror
from app.log.shared.records import MARKER, Marker, Place, encode_marker
from app.log.shared.redis.link import Sender
from app.log.shared.redis.wire import REDIRECTS
from app.log.shared.retention import expiry
from app.log.shared.shared_log import GREATER, newest_of

EMPTY_SECONDS = (
    120  # that a stream without an answer is kept; longer than a session is owned that nobody uses
)
PAGE = 1000  # entries that are read at a time


class Opening:
    """One opening of a log under `epoch`, over all redirections. `mirror` makes an empty one of that epoch."""

    def __init__(self, key: str, epoch: int, *, seconds: float, mirror: Callable[[int], Mirror]) -> None:
        self.key = key
        self.epoch = epoch
        self._seconds = seconds
        self._new_mirror = mirror
        self._newest: Place | None = None  # before the marker
        self._is_marked = False

    def __repr__(self) -> str:
        return f"<Opening {self.key} epoch={self.epoch} marked={self._is_marked}>"

    async def replayed(self, link: Sender) -> Mirror:
        """Return all that is in the log once it is marked.

        Raises `Fenced`, `LogUnavailable`, and `hiredis.ReplyError` if the key is elsewhere; beginning again there does
        no harm.
        """
        key, epoch = self.key, self.epoch
        connection = link.home.connections
        mirror = self._new_mirror(epoch)
        try:
            newest = newest_of(await link.ask("XINFO", "STREAM", key))
        except hiredis.ReplyError as error:
            newest = newest_of(error)
        if isinstance(newest, Exception):
            _raise_redirect(newest)
            raise LogUnavailable(f"Redis keeps something else under {key}: {newest}") from newest
        if self._is_marked and newest == Place(epoch, 0):
            newest = self._newest  # the marker is this attempt's own, and has moved with the key
        elif newest is not None and newest.epoch >= epoch:
            # Under the same epoch, too: after a failover that lost a transaction PostgreSQL gives an epoch out again,
            # and Redis would refuse neither owner. An attempt that ended after its marker needs a new epoch likewise.
            raise Fenced(f"epoch {epoch} of {key} is not newer than {newest.epoch}")
        else:
            await self._mark(link)
            self._newest, self._is_marked = newest, True
        # One that is new may be of an id that somebody made up: it is kept for long once it has an answer.
        life = expiry(self._seconds) if newest is not None else min(expiry(self._seconds), EMPTY_SECONDS)
        await link.ask("EXPIRE", key, life)
        start = "-"
        while True:
            page = await link.ask("XRANGE", key, start, "+", "COUNT", PAGE)
            for entry_id, fields in page:
                place = Place.parse(entry_id)
                if place.epoch > epoch:
                    raise Fenced(f"{key} got an owner under epoch {place.epoch} while it was read")
                mirror.replay(place, fields[0], fields[1])
            if len(page) < PAGE:
                break
            start = f"({page[-1][0].decode()}"
        mirror.replayed(newest)
        if not link.home.is_up or connection != link.home.connections:
            raise LogUnavailable("The connection to Redis broke while a log was read. Try again in a moment.")
        return mirror

    async def _mark(self, link: Sender) -> None:
        key, epoch = self.key, self.epoch
        try:
            await link.ask("XADD", key, f"{epoch}-0", MARKER, encode_marker(Marker()))
        except hiredis.ReplyError as error:
            _raise_redirect(error)
            if GREATER in str(error):
                raise Fenced(f"epoch {epoch} of {key} is not the newest") from error
            raise LogUnavailable(f"Redis refuses to write {key}: {error}") from error


def _raise_redirect(error: Exception) -> None:
    if str(error).startswith(REDIRECTS):
        raise error
