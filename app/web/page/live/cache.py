"""An LRU cache bounded by bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Thread-safe. `size` returns the bytes of an item; `most` bounds their sum."""

    def __init__(self, most: int, size: Callable[[K, V], int]) -> None:
        self._most = most
        self._size_of = size
        self._size = 0
        self._lock = Lock()
        self._items: OrderedDict[K, V] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Cache items={len(self._items)} bytes={self._size}>"

    def get(self, key: K) -> V | None:
        """Return the cached value and mark it as used; `None` if there is none."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
            return self._items.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep `value`, and drop what was not used for the longest time."""
        size = self._size_of(key, value)
        with self._lock:
            if size > self._most or key in self._items:
                return
            self._items[key] = value
            self._size += size
            while self._size > self._most:
                self._size -= self._size_of(*self._items.popitem(last=False))
