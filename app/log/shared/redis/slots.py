"""Slots of a Redis Cluster: each key is in one of them, and each of them at one primary."""

from __future__ import annotations

import binascii
from typing import Any

from app.redis_url import Host

SLOTS = 16384
MOST_TRIES = 2000  # to find a key of a primary; each takes 3 µs


def slot_of(key: str) -> int:
    """Return the slot of a key: of the part between its first braces, if there is one."""
    begin = key.find("{")
    end = key.find("}", begin + 1)
    tag = key[begin + 1 : end] if 0 <= begin < end - 1 else key
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


def named(name: str, port: int, asked: Host) -> Host:
    """Return a server that another one has named. It may not know its own name, but we do: it was `asked`."""
    return Host(name if name not in ("", "?") else asked.name, port)


class SlotMap:
    """Which primary has which slot, as a server of the cluster tells it."""

    def __init__(self, said: list[Any], asked: Host) -> None:
        """`said` is the reply of the server that was `asked` to CLUSTER SLOTS."""
        self.owners: list[Host | None] = [None] * SLOTS  # by slot
        for first, last, primary, *_ in said:
            host = named((primary[0] or b"").decode(), primary[1], asked)
            self.owners[first : last + 1] = [host] * (last + 1 - first)
        self.primaries = sorted({host for host in self.owners if host is not None})
        self._keys: dict[Host, str | None] = {}

    def __repr__(self) -> str:
        return f"<SlotMap {' '.join(map(str, self.primaries))}>"

    def of(self, slot: int) -> Host | None:
        """Return the primary of a slot; `None` if it has none."""
        return self.owners[slot]

    def give(self, slot: int, host: Host) -> None:
        """A slot has another primary."""
        self.owners[slot] = host
        self._keys.clear()

    def key_at(self, host: Host, name: str) -> str | None:
        """Return a key that a primary has, beginning with `name`; `None` if it has hardly any, or none."""
        if host not in self.primaries:
            return None
        if host not in self._keys:
            keys = (f"{name}:{number}" for number in range(MOST_TRIES))
            self._keys[host] = next((key for key in keys if self.owners[slot_of(key)] == host), None)
        return self._keys[host]
