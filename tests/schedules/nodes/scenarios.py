"""The scenarios with nodes: small ones, each a few operations around one danger."""

from __future__ import annotations

from tests.doubles.leases import MemoryLeases
from tests.schedules.nodes.engines import at_once
from tests.schedules.nodes.world import SESSION, TTL, NodesScenario, NodesWorld, Operation


def post(node: str, label: str) -> Operation:
    """A prompt comes to a node. If that does not own the session, and cannot take it, it is refused."""
    return Operation(f"{node}.post {label}", lambda world: world.post(node, label))


def force(node: str) -> Operation:
    """A node takes the session from whoever has it."""

    async def take(world: NodesWorld) -> None:
        ownership = world.nodes[node].ownership
        lease = await world.nodes[node].leases.find(SESSION)
        await ownership.owner(SESSION, over=lease.epoch if lease is not None else None)

    return Operation(
        f"{node} takes it", lambda world: _of(world, node, lambda: world.handle(node, take(world), "take"))
    )


def check(node: str) -> Operation:
    """A node is renewed, and learns what it lost."""
    return Operation(
        f"{node} renews",
        lambda world: _of(
            world, node, lambda: world.handle(node, world.nodes[node].ownership.check(), "check")
        ),
    )


def renew(node: str) -> Operation:
    """A node renews itself, as it does every other second. PostgreSQL takes its time."""
    return Operation(
        f"{node} renews itself",
        lambda world: _of(world, node, lambda: world.handle(node, world.nodes[node].renew(), "renew")),
    )


def renew_at_once(node: str) -> Operation:
    """A node that neither has a session nor opens one renews itself, and PostgreSQL is quick about it."""

    def do(world: NodesWorld) -> None:
        renewed = world.nodes[node]
        assert not renewed.ownership.epochs()
        at_once(MemoryLeases.renew(renewed.leases))
        renewed.ownership.sure_until = world.truth.leases.now() + renewed.membership.ttl

    return Operation(f"{node} is renewed", lambda world: _of(world, node, lambda: do(world)))


def acquire(node: str) -> Operation:
    """PostgreSQL gives the session to a node, which never hears of it."""

    def do(world: NodesWorld) -> None:
        at_once(MemoryLeases.acquire(world.nodes[node].leases, SESSION))

    return Operation(f"{node} has it", do)


def clock(seconds: float) -> Operation:
    """Time passes, whatever is on its way."""
    return Operation(f"{seconds:g} s pass", lambda world: world.pass_seconds(seconds))


def forget() -> Operation:
    """Redis loses all that it has."""
    return Operation("Redis forgets", lambda world: world.forget())


def lose(node: str) -> Operation:
    """A node's connection to Redis breaks."""
    return Operation(f"{node} loses Redis", lambda world: _of(world, node, world.nodes[node].link.lose))


def hint(node: str) -> Operation:
    """A hint reaches a node that it may have lost the session."""

    def hear(world: NodesWorld) -> None:
        row = world.truth.leases.leases.get(SESSION)
        if row is not None and row.node_id != node:
            world.nodes[node].ownership.heard(SESSION, row.epoch)

    return Operation(f"a hint for {node}", lambda world: _of(world, node, lambda: hear(world)))


def kill(node: str) -> Operation:
    """A node dies. The database notices it at once."""

    def die(world: NodesWorld) -> None:
        world.nodes[node].kill()
        _expire(world, node)

    return Operation(f"{node} dies", die)


def expire(node: str) -> Operation:
    """A node's time has run out in the database, and it does not know it: it was paused."""
    return Operation(f"{node} expires", lambda world: _expire(world, node))


def reap(node: str) -> Operation:
    """A node looks after the sessions of the expired."""
    return Operation(
        f"{node} reaps",
        lambda world: _of(
            world, node, lambda: world.handle(node, world.nodes[node].ownership.reap(8), "reap")
        ),
    )


def give(node: str) -> Operation:
    """A node gives the session up, and interrupts what runs."""
    return Operation(
        f"{node} gives it up",
        lambda world: _of(
            world, node, lambda: world.handle(node, world.nodes[node].ownership.give(SESSION), "give")
        ),
    )


def _expire(world: NodesWorld, node: str) -> None:
    table = world.truth.leases
    table.nodes[node] = table.nodes[node][0], -1.0


def _of(world: NodesWorld, node: str, do: object) -> None:
    assert callable(do)
    if not world.nodes[node].dead:
        do()


def late(operation: Operation) -> Operation:
    """It happens once some text of an answer was seen."""
    return operation._replace(possible=lambda world: world.is_visible("token"))


def unacknowledged(operation: Operation, node: str) -> Operation:
    """It happens once text of an answer is on its way to Redis."""
    return operation._replace(possible=lambda world: world.waits_for_redis(node))


def last(operation: Operation) -> Operation:
    """It happens once the end of an answer is stored, shown or not."""
    return operation._replace(possible=lambda world: world.is_stored())


def before_it_hears(operation: Operation, node: str, statement: str) -> Operation:
    """It happens once PostgreSQL has done what a node asked for, and before that hears of it."""
    return operation._replace(possible=lambda world: world.awaits(node, statement))


def renewed(operation: Operation) -> Operation:
    """It happens once the renewals are over."""
    return operation._replace(possible=lambda world: world.has_renewed())


def unshown(operation: Operation) -> Operation:
    """It happens once the end of an answer is stored, and before anybody has seen it."""
    return operation._replace(possible=lambda world: world.is_stored() and not world.is_visible("end"))


SCENARIOS = [
    NodesScenario("one-node", ((post("a", "1"), post("a", "2")),)),
    NodesScenario("forced", ((post("a", "1"),), (force("b"),))),
    NodesScenario("forced-in-the-middle", ((post("a", "1"),), (late(force("b")),))),
    NodesScenario("forced-at-the-end", ((post("a", "1"),), (last(force("b")), post("b", "2")))),
    NodesScenario("killed-in-the-middle", ((post("a", "1"),), (late(kill("a")), reap("b"), post("b", "2")))),
    NodesScenario("killed-at-the-end", ((post("a", "1"),), (last(kill("a")), reap("b")))),
    NodesScenario(
        "paused-in-the-middle", ((post("a", "1"), late(expire("a"))), (late(reap("b")), check("a")))
    ),
    NodesScenario("given-up-in-the-middle", ((post("a", "1"), late(give("a"))), (late(post("b", "2")),))),
    NodesScenario("forced-and-asked", ((post("a", "1"),), (force("b"), post("b", "2")))),
    NodesScenario("forced-under-a-prompt", ((post("a", "1"), post("a", "2")), (force("b"),))),
    NodesScenario("forced-and-told", ((post("a", "1"), hint("a")), (force("b"), check("a")))),
    NodesScenario("to-and-fro", ((post("a", "1"),), (force("b"), force("a"), post("a", "2")))),
    NodesScenario("killed", ((post("a", "1"), kill("a"), reap("b"), post("b", "2")),)),
    NodesScenario("killed-at-any-time", ((post("a", "1"), post("a", "2")), (kill("a"), reap("b")))),
    NodesScenario("paused", ((post("a", "1"), expire("a")), (reap("b"), post("b", "2")))),
    NodesScenario(
        "paused-and-back", ((post("a", "1"), expire("a"), post("a", "3")), (reap("b"), check("a")))
    ),
    NodesScenario("given-up", ((post("a", "1"), give("a")), (post("b", "2"),))),
    NodesScenario("three", ((post("a", "1"),), (force("b"),), (force("c"), post("c", "2"))), nodes="abc"),
    # Leases end by the clock here: that of PostgreSQL for the others, its own for the node.
    NodesScenario(
        "slow-renewal",
        (
            (
                post("a", "1"),
                late(renew("a")),
                before_it_hears(clock(1.0), "a", "renew"),
                renewed(clock(TTL - 1.0)),
                reap("b"),
                post("b", "2"),
            ),
        ),
        mortal="a",
    ),
    NodesScenario(
        "renewed-in-time",
        ((post("a", "1"),), (clock(2.0), renew("a"), clock(2.0), renew("a"), clock(2.0)), (reap("b"),)),
        mortal="a",
    ),
    NodesScenario(
        "slow-statements",
        ((post("a", "1"), post("a", "3")), (clock(TTL),), (reap("b"), renew("a"))),
        mortal="a",
    ),
    NodesScenario(
        "slow-acquisition",
        (
            (
                post("a", "1"),
                *(
                    before_it_hears(operation, "a", "acquire")
                    for operation in (clock(TTL), acquire("b"), renew_at_once("a"))
                ),
            ),
        ),
        mortal="a",
    ),
    # The steps of b come first, so Redis is slow for a.
    NodesScenario("slow-redis", ((post("a", "1"),), (unshown(clock(2.0)), force("b"))), nodes="ba"),
    NodesScenario("redis-forgets", ((post("a", "1"),), (late(forget()), force("b"), post("b", "2")))),
    NodesScenario("redis-breaks", ((post("a", "1"), post("a", "2")), (late(lose("a")),))),
    NodesScenario(
        "redis-breaks-and-forgets", ((post("a", "1"),), (late(lose("a")), forget(), post("a", "2")))
    ),
    # The steps of b come first, so Redis is slow to come back to a.
    NodesScenario(
        "redis-breaks-and-forced",
        ((post("a", "1"),), (unacknowledged(lose("a"), "a"), force("b"), post("b", "2"))),
        nodes="ba",
    ),
    NodesScenario("redis-breaks-for-the-new-owner", ((post("a", "1"),), (late(force("b")), lose("b")))),
    NodesScenario("redis-breaks-at-the-end", ((post("a", "1"),), (last(lose("a")), force("b")))),
    NodesScenario(
        "two-reapers", ((post("a", "1"), kill("a")), (reap("b"), post("b", "2")), (reap("c"),)), nodes="abc"
    ),
]
