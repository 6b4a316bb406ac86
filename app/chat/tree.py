"""The tree of a long chat in little memory: a hundred bytes for each message, and no text."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from app.chat.errors import MessageNotFound

NONE = -1


class Tree:
    """Messages by their places, oldest first. A message whose parent is missing is a root. See also `branches`."""

    def __init__(self, rows: Iterable[tuple[str, str | None, str]]) -> None:
        self.ids: list[str] = []
        self._places: dict[str, int] = {}
        self._parents = array("l")
        self._prompts = bytearray()  # by place: whether it is the user's
        for message_id, parent_id, role in rows:
            self._parents.append(NONE if parent_id is None else self._places.get(parent_id, NONE))
            self._places[message_id] = len(self.ids)
            self.ids.append(message_id)
            self._prompts.append(role == "user")

    def __len__(self) -> int:
        """The number of messages."""
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<Tree {len(self)}>"

    def place(self, message_id: str) -> int:
        """Return the place of a message. Raises `MessageNotFound`."""
        found = self._places.get(message_id)
        if found is None:
            raise MessageNotFound(f"Message {message_id} doesn't exist in this chat.")
        return found

    def is_prompt(self, place: int) -> bool:
        """Return whether a message is the user's."""
        return bool(self._prompts[place])

    def path(self, place: int) -> list[int]:
        """Return the places from the root to this one, inclusive."""
        way: list[int] = []
        while place != NONE:
            way.append(place)
            place = self._parents[place]
        way.reverse()
        return way

    def branch(self, through: str | None = None) -> list[int]:
        """Return the path to the newest message, or to the newest descendant of `through`. Raises `MessageNotFound`."""
        if through is None:
            return self.path(len(self) - 1)
        newest = self.place(through)
        after = bytearray(len(self))
        after[newest] = 1
        for place in range(newest + 1, len(self)):
            parent = self._parents[place]
            if parent != NONE and after[parent]:
                after[place] = 1
                newest = place
        return self.path(newest)

    def children(self, place: int) -> list[int]:
        """Return the places of the messages that follow this one directly."""
        return [child for child, parent in enumerate(self._parents) if parent == place]

    def families(self, places: Sequence[int]) -> dict[str, list[str]]:
        """Return for each of these messages the ids with the same parent, oldest first, if there are several."""
        by_parent: dict[int, list[str]] = {self._parents[place]: [] for place in places}
        for place, parent in enumerate(self._parents):
            family = by_parent.get(parent)
            if family is not None:
                family.append(self.ids[place])
        several = ((self.ids[place], by_parent[self._parents[place]]) for place in places)
        return {message_id: family for message_id, family in several if len(family) > 1}
