"""A real Redis Cluster for tests: three primaries of Valkey, whose slots and keys can be moved."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import hiredis

from app.log.shared.redis.slots import SLOTS, slot_of
from app.log.shared.redis.wire import command
from tests.support.ports import free_port
from tests.support.valkey import START_SECONDS, Valkey, running_valkey
from tests.support.waiting import found

SHARDS = 3
NODE_TIMEOUT_MS = 2000  # without an answer of a primary, until the others take it for dead


def ask(server: Valkey, *words: str | int) -> Any:
    """Send one command to a server, and return its reply. Errors are returned, too."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(command(*words))
        reader = hiredis.Reader()
        while (reply := reader.gets()) is False:
            reader.feed(connection.recv(65536))
        return reply


def told(server: Valkey, *words: str | int) -> Any:
    """The same. Raises the error."""
    reply = ask(server, *words)
    if isinstance(reply, Exception):
        raise reply
    return reply


class RedisCluster:
    """Three primaries with a third of the slots each. Use `running_redis_cluster`."""

    def __init__(self, servers: Sequence[Valkey], options: Sequence[str]) -> None:
        self.servers = list(servers)
        self.options = options

    @property
    def url(self) -> str:
        """Its address: two of its servers."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{server.port}' for server in self.servers[:2])}"

    def of(self, key: str) -> Valkey:
        """Return the server that has a key, as the first server that lives knows it."""
        return self.owner(slot_of(key))

    def owner(self, slot: int) -> Valkey:
        """Return the server that has a slot."""
        for server in self.servers:
            if not server.is_running:
                continue
            for first, last, primary, *_ in told(server, "CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    [owner] = [each for each in self.servers if each.port == primary[1]]
                    return owner
        raise AssertionError(f"nobody has slot {slot}")

    def other(self, than: Valkey) -> Valkey:
        """Return another server."""
        return next(server for server in self.servers if server is not than)

    # ---- a migration, step by step ---------------------------------------------------------------------------

    def open_slot(self, slot: int, source: Valkey, target: Valkey) -> None:
        """From now on keys of the slot may be at either."""
        told(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
        told(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", _id(target))

    def move_key(self, key: str, source: Valkey, target: Valkey) -> None:
        """Move one key."""
        assert told(source, "MIGRATE", "127.0.0.1", target.port, key, 0, 5000) == b"OK"

    def abort(self, slot: int, source: Valkey, target: Valkey, *keys: str) -> None:
        """The slot stays where it was, and the keys that are at `target` go back."""
        told(source, "CLUSTER", "SETSLOT", slot, "STABLE")
        for key in keys:
            self.move_key(key, target, source)
        told(target, "CLUSTER", "SETSLOT", slot, "STABLE")

    def close_slot(self, slot: int, target: Valkey) -> None:
        """All keys of the slot are at `target`. Whoever has it before is told last."""
        for server in sorted(self.servers, key=lambda server: server is not target):
            told(server, "CLUSTER", "SETSLOT", slot, "NODE", _id(target))

    # ---- its health ------------------------------------------------------------------------------------------

    def is_whole(self) -> bool:
        """Whether all servers that live know each other, and all slots are there."""
        infos = [told(server, "CLUSTER", "INFO") for server in self.servers if server.is_running]
        known = b"cluster_known_nodes:%d\r" % len(self.servers)
        return all(b"cluster_state:ok" in info and known in info for info in infos)

    def has_failed(self) -> bool:
        """Whether a server that lives takes the cluster for down."""
        infos = [told(server, "CLUSTER", "INFO") for server in self.servers if server.is_running]
        return any(b"cluster_state:fail" in info for info in infos)


def _id(server: Valkey) -> str:
    name: bytes = told(server, "CLUSTER", "MYID")
    return name.decode()


def _options(*more: str) -> list[str]:
    bus = str(free_port())
    return [
        *("--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
        *more,
    ]


@contextmanager
def running_redis_cluster(*options: str) -> Iterator[RedisCluster]:
    """Run one; yield it once all of it can be used."""
    with ExitStack() as stack:
        servers = [stack.enter_context(running_valkey(*_options(*options))) for _ in range(SHARDS)]
        cluster = RedisCluster(servers, options)
        size = SLOTS // SHARDS + 1
        for number, server in enumerate(servers):
            told(server, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            last = min(SLOTS, (number + 1) * size) - 1
            told(server, "CLUSTER", "ADDSLOTSRANGE", number * size, last)
        for server in servers[1:]:
            _meet(servers[0], server)
        found(lambda: cluster.is_whole() or None, within=START_SECONDS, what="no Redis Cluster")
        yield cluster


@contextmanager
def running_newcomer(cluster: RedisCluster) -> Iterator[Valkey]:
    """Run one more server, without slots; yield it once all know it."""
    with running_valkey(*_options(*cluster.options)) as newcomer:
        _meet(cluster.servers[0], newcomer)
        cluster.servers.append(newcomer)
        found(lambda: cluster.is_whole() or None, within=START_SECONDS, what="the new server knows nobody")
        yield newcomer


@contextmanager
def running_replica(cluster: RedisCluster, primary: Valkey) -> Iterator[Valkey]:
    """Run a replica of one of the primaries; yield it once it has all."""
    with running_newcomer(cluster) as replica:
        told(replica, "CLUSTER", "REPLICATE", _id(primary))
        found(lambda: replica.role() == "slave/up" or None, within=START_SECONDS, what="no replica")
        yield replica


def _meet(one: Valkey, other: Valkey) -> None:
    bus = told(other, "CONFIG", "GET", "cluster-port")[1].decode()
    told(one, "CLUSTER", "MEET", "127.0.0.1", other.port, bus)
