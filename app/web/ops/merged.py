"""One view of a server, or of all nodes of a cluster: the sums of their figures, and their streams in one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from app.streams.counters import LAST_ENDS
from app.streams.overview import MOST_LIVE
from app.web.ops.reading import End, Figures, Live, ModelServer, Reading, Silent, Storage, Who

T = TypeVar("T", Figures, Storage)


class View(NamedTuple):
    """What the page shows, each thing with the node that told of it. Without a cluster that is `None`."""

    draining: bool  # of the node that was asked
    figures: Figures
    viewers_behind: int
    live: list[tuple[Who | None, Live]]  # those that began first
    more: int
    ended: list[tuple[Who | None, End]]  # the latest first
    backends: list[tuple[Who | None, ModelServer]]
    history: Storage
    nodes: list[Reading | Silent]  # the one that was asked first; empty without a cluster

    @property
    def chats(self) -> list[str]:
        """The scoped ids of all sessions in the view."""
        return [stream.chat for _, stream in self.live] + [end.chat for _, end in self.ended]


def view(own: Mapping[str, Any]) -> View:
    """Return what the JSON of a server says; of a node, merged with that of its `peers`."""
    mine = msgspec.json.decode(
        msgspec.json.encode({**own, "peers": ()}), type=Reading
    )  # enums become strings
    if mine.node is None:
        return _of([mine], [])
    others = [_read(peer) for peer in own.get("peers", ())]
    nodes = [mine, *sorted(others, key=lambda each: each.node.url if each.node is not None else "")]
    return _of([each for each in nodes if isinstance(each, Reading)], nodes)


def _read(peer: Mapping[str, Any]) -> Reading | Silent:
    try:
        if "error" in peer:
            return msgspec.convert(peer, Silent)
        return msgspec.convert(peer, Reading)
    except msgspec.ValidationError:  # of another version
        return Silent(node=Who(id=peer["node"]["id"], url=peer["node"]["url"]))


def _of(readings: Sequence[Reading], nodes: list[Reading | Silent]) -> View:
    live = [(each.node, stream) for each in readings for stream in each.live]
    ended = [(each.node, end) for each in readings for end in each.ended]
    if nodes:
        # Each is in order already.
        live.sort(key=lambda found: -found[1].seconds)
        ended.sort(key=lambda found: -found[1].ended_at)
    history = _sum([each.history for each in readings], Storage)
    history.writable = all(each.history.writable for each in readings)
    return View(
        draining=readings[0].draining,
        figures=_sum([each.statistics for each in readings], Figures),
        viewers_behind=sum(each.viewers_behind for each in readings),
        live=live[:MOST_LIVE],
        more=sum(each.more for each in readings) + len(live[MOST_LIVE:]),
        ended=ended[:LAST_ENDS],
        backends=[(each.node, server) for each in readings for server in each.backends],
        history=history,
        nodes=nodes,
    )


def _sum(parts: Sequence[T], kind: type[T]) -> T:
    return kind(**{name: sum(getattr(part, name) for part in parts) for name in kind.__struct_fields__})
