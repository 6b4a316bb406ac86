"""Reads a session as a whole: from the disk alone, once that has all there is of it."""

from __future__ import annotations

from sqlalchemy import Connection

from app.history.archiving import read_archive
from app.history.changes import Mark
from app.history.database import Database
from app.history.unwritten import Unwritten
from app.history.writer import Writer
from app.streams.archive import Archive
from app.streams.errors import HistoryUnavailable

READ_AGAIN = 16  # times, if the session changes meanwhile


async def read_whole(
    database: Database, unwritten: Unwritten, writer: Writer, owner: str, session_id: str, most: int | None
) -> Archive:
    """Return everything of a session. Raises what `History.archive` raises."""

    def read(connection: Connection) -> Archive:
        return read_archive(connection, owner, session_id, most)

    for _ in range(READ_AGAIN):
        if unwritten.is_open(session_id):
            await writer.now(Mark())
        with unwritten.reading(session_id) as reading:
            found = await database.read(read)
            if not (reading.stale or unwritten.is_open(session_id)):
                return found
    raise HistoryUnavailable("This chat is changing too fast to read. Try again in a moment.")
