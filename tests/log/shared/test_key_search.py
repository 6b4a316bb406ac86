"""A key that moves is looked for with pauses that grow, and its log does not wait for ever."""

from __future__ import annotations

import asyncio

import pytest

from app.log.shared import key_search
from app.log.shared.key_search import KeySearch
from app.log.shared.redis.link import Link, Sender
from tests.support.waiting import until

PATIENCE = 60.0


class Told:
    """Where to look, and what came of it. Names stand for links."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self.refusals: list[tuple[str, str, str]] = []
        self.arrived: list[str] = []
        self.given_up = 0
        self.search = KeySearch(
            "k", patience=patience, redirect=self._redirect, arrive=self._arrive, give_up=self._give_up
        )

    def follow(self, error: str, home: str) -> None:
        self.search.follow(error, home)  # type: ignore[arg-type]

    def _redirect(self, key: str, error: str, link: Link) -> Sender:
        self.refusals.append((key, error, str(link)))
        return error.split()[-1]  # type: ignore[return-value]

    def _arrive(self, link: Sender) -> None:
        self.arrived.append(str(link))

    def _give_up(self) -> None:
        self.given_up += 1


async def test_it_looks_where_the_refusal_says() -> None:
    """The first time at once."""
    told = Told()
    told.follow("MOVED 1 b", "a")
    assert told.arrived == []  # in a turn of its own
    await until(lambda: told.arrived == ["b"])
    assert told.refusals == [("k", "MOVED 1 b", "a")]
    assert told.search.looks == 1
    told.search.found()
    assert told.search.looks == 0


async def test_pauses_grow_until_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also beyond the last of them; a search that begins later begins with the shortest."""
    monkeypatch.setattr(key_search, "PAUSES", (0.0, 0.01, 0.02))
    told, loop = Told(), asyncio.get_running_loop()
    for number in range(1, 5):
        began = loop.time()
        told.follow("CLUSTERDOWN b", "a")
        await until(lambda number=number: len(told.arrived) == number)  # type: ignore[misc]
        assert loop.time() - began >= (0.0, 0.01, 0.02, 0.02)[number - 1]
    told.search.found()
    told.follow("CLUSTERDOWN b", "a")
    assert told.search.looks == 1


async def test_a_look_that_is_no_longer_wanted() -> None:
    """It does not come, nor does it if another refusal tells something newer."""
    told = Told()
    told.follow("MOVED 1 b", "a")
    told.search.stay()
    told.follow("MOVED 1 c", "a")
    told.follow("MOVED 1 d", "a")
    await until(lambda: told.arrived)
    assert told.arrived == ["d"]


async def test_who_waits_does_not_wait_for_ever() -> None:
    """It is told once in a search, which goes on; not if the key is found in time."""
    told = Told(patience=0.0)
    told.follow("CLUSTERDOWN b", "a")
    told.search.found()
    await until(lambda: told.arrived)
    assert told.given_up == 0
    told.follow("CLUSTERDOWN b", "a")
    await until(lambda: told.given_up == 1)
    assert told.search.looks == 1
