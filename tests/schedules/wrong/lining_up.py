"""Wrong lines in front of a model server. All else about these hearts is the product's own."""

from __future__ import annotations

from app.streams.line import Line, Lines, Stage, Ticket
from tests.schedules.heart import ProductHeart


class FreeAtTheSignal(Ticket):
    """Gives its slot back when the stream is signalled; its connection may be open for a while yet."""

    __slots__ = ()

    def give_up(self) -> None:
        self.leave()


class ServedWhileDead(Ticket):
    """A stream that was signalled in line keeps its place, and gets a slot that it never uses or gives back."""

    __slots__ = ()

    def give_up(self) -> None:
        """Stay."""

    def leave(self) -> None:
        if self.stage is Stage.SERVED:
            super().leave()


class TellsNobody(Line):
    """A slot that is given back waits for the next newcomer: nobody in line hears of it."""

    def leave(self, ticket: Ticket) -> None:
        if ticket.stage is not Stage.SERVED:
            super().leave(ticket)
            return
        ticket.stage = Stage.LEFT
        self.served -= 1


def _lines(ticket: type[Ticket] = Ticket, line: type[Line] = Line) -> type[Lines]:
    def make(self: Line, owner: str) -> Ticket:
        return ticket(self, owner)

    made = type("Line", (line,), {"ticket": make})
    return type("Lines", (Lines,), {"line": made})


class FreesAtTheSignal(ProductHeart):
    """See `FreeAtTheSignal`."""

    new_lines = _lines(FreeAtTheSignal)


class ServesTheDead(ProductHeart):
    """See `ServedWhileDead`."""

    new_lines = _lines(ServedWhileDead)


class LosesTheCall(ProductHeart):
    """See `TellsNobody`."""

    new_lines = _lines(line=TellsNobody)
