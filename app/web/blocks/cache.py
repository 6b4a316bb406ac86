"""An LRU cache bounded by bytes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from operator import itemgetter
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Thread-safe. `size` returns the bytes of an item; `most` bounds their sum."""

    def __init__(self, most: int, size: Callable[[K, V], int]) -> None:
        self._size_of = size
        self._lock = Lock()
        self._items: LRUCache[K, tuple[int, V]] = LRUCache(most, getsizeof=itemgetter(0))

    def __repr__(self) -> str:
        return f"<Cache items={len(self._items)} bytes={self._items.currsize}>"

    def __len__(self) -> int:
        """Number of cached items."""
        return len(self._items)

    def get(self, key: K) -> V | None:
        """Return the cached value and mark it as used; `None` if there is none."""
        with self._lock:
            found = self._items.get(key)
        return None if found is None else found[1]

    def put(self, key: K, value: V) -> None:
        """Keep `value`, if it is not too large for the cache, and drop what was not used for the longest time."""
        with self._lock, suppress(ValueError):
            self._items[key] = self._size_of(key, value), value
