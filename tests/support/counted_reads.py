"""Counts the reads of the history, and holds them back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.history.database import T, Work
from app.history.sqlite import SqliteDatabase
from app.history.write_queue.read_batcher import ReadBatcher


class CountedReads:
    """How often the history was asked, and how often that asked the database, which waits until it is `free`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = self.transactions = 0
        self.free = asyncio.Event()
        self.free.set()
        ask, read = ReadBatcher.read, SqliteDatabase.read

        async def counted_ask(reads: ReadBatcher, key: Any, work: Work[T]) -> T:
            self.asked += 1
            return await ask(reads, key, work)

        async def counted_read(database: SqliteDatabase, work: Work[T]) -> T:
            self.transactions += 1
            await self.free.wait()
            return await read(database, work)

        monkeypatch.setattr(ReadBatcher, "read", counted_ask)
        monkeypatch.setattr(SqliteDatabase, "read", counted_read)
