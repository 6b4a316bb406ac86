"""Reads a whole session from disk, once all its changes are written."""

from __future__ import annotations

from sqlalchemy import Connection

from app.chat.archive import Archive
from app.chat.errors import HistoryUnavailable
from app.history.database import Database
from app.history.statements.archive import read_archive
from app.history.write_queue.changes import Mark
from app.history.write_queue.pending import Pending
from app.history.write_queue.writer import Writer

READ_AGAIN = 16  # attempts, while the session changes


async def read_settled(
    database: Database, unwritten: Pending, writer: Writer, owner: str, session_id: str, most: int | None
) -> Archive:
    """Return a whole session. Raises what `History.archive` raises."""

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
