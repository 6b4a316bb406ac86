"""What writing costs, counted under a whole server: threads, transactions, characters."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from app.history.write_queue.writer import TICK
from tests.history.files import rows
from tests.support.waiting import until
from tests.web.stage import on_stage

STREAMS = 20
TOKENS = 2000  # of each


class Statements:
    """Counts what the database of a running server is asked."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.commits = 0
        self.characters = 0  # of answers, as they were written piece by piece

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count while the block lasts."""
        listeners: dict[str, Callable[..., None]] = {
            "before_cursor_execute": self._execute,
            "commit": self._commit,
        }
        for name, listener in listeners.items():
            event.listen(Engine, name, listener)
        try:
            yield
        finally:
            for name, listener in listeners.items():
                event.remove(Engine, name, listener)

    def _execute(self, _: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        self.threads.add(threading.get_ident())
        if statement.startswith("INSERT INTO pieces"):
            many = parameters if isinstance(parameters, list) else [parameters]
            self.characters += sum(len(text) for row in many for text in row if text and "word" in str(text))

    def _commit(self, _: Any) -> None:
        self.commits += 1


async def test_what_answers_cost_the_disk(tmp_path: Path) -> None:
    """Never on the event loop; a transaction a quarter of a second for all streams; each character once."""
    statements = Statements()
    async with on_stage(tmp_path, viewer_grace=None) as stage, AsyncExitStack() as stack:
        stack.enter_context(statements.counted())
        for number in range(STREAMS):
            await stage.client.post(f"s{number}", "hello")
        generations = [await stage.opened(number + 1) for number in range(STREAMS)]
        loop = asyncio.get_running_loop()
        before, begun = statements.commits, loop.time()
        for _ in range(TOKENS // 10):
            for generation in generations:
                generation.say(*["word "] * 10)
            await asyncio.sleep(0.005)
        await until(lambda: rows(tmp_path, "SELECT sum(tokens) FROM pieces") == [(STREAMS * TOKENS,)])
        passed, commits = loop.time() - begun, statements.commits - before
        # One batch each tick, and now and then a `tend`.
        assert commits <= passed / TICK + passed + 3 < STREAMS * TOKENS / 100
        assert statements.characters == STREAMS * TOKENS * len("word ")
        for generation in generations:
            generation.finish()
        await stage.settled()
        await stage.client.get("/api/sessions?q=word")
        await stage.client.delete("/api/sessions/s1")
        assert threading.get_ident() not in statements.threads
        assert statements.threads
