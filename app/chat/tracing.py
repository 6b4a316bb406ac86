"""The port to distributed tracing: the trace of one exchange, from its POST to its end. By default it does nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from app.chat.ports import NO_HEADERS, Model, Options
from app.chat.records import StreamState


class Trace(Protocol):
    """The trace of one exchange. The methods are called in this order, some of them not at all. None of them raises."""

    def admitting(self, model: Model) -> None:
        """The prompt goes to the registry."""
        ...

    def answered(self, stream_id: str, status: int) -> None:
        """The POST has an answer with this status: its prompt was accepted, now or before."""
        ...

    def refused(self, code: str, status: int | None) -> None:
        """The POST failed with this status; `None`: its client has left, and its stream may run all the same."""
        ...

    def waits(self, stream_id: str) -> None:
        """The stream waits for this one, which is ahead of it in its session."""
        ...

    def turn(self) -> None:
        """The stream's `start` is in the log."""
        ...

    def upstream(self, session_id: str, model: Model, options: Options) -> Mapping[str, str]:
        """The request goes to the model server. Returns the headers that carry the trace there."""
        ...

    def first_token(self) -> None:
        """The first piece of reasoning or of the answer has arrived."""
        ...

    def closed(self, state: Callable[[], StreamState]) -> None:
        """The model server's part is over. `state` returns the outcome, and whether the connection is closed."""
        ...

    def ended(self) -> None:
        """The `end` is in the log."""
        ...


class Tracer(Protocol):
    """Begins traces."""

    def exchange(self, headers: Mapping[str, str], route: str) -> Trace:
        """Begin the trace of a POST. It continues the trace that the request's `headers` name, if they do."""
        ...


class Untraced:
    """The trace of an exchange that is not traced. It has no state, so one serves all."""

    def admitting(self, model: Model) -> None:
        """See `Trace`."""

    def answered(self, stream_id: str, status: int) -> None:
        """See `Trace`."""

    def refused(self, code: str, status: int | None) -> None:
        """See `Trace`."""

    def waits(self, stream_id: str) -> None:
        """See `Trace`."""

    def turn(self) -> None:
        """See `Trace`."""

    def upstream(self, session_id: str, model: Model, options: Options) -> Mapping[str, str]:  # noqa: ARG002
        """See `Trace`."""
        return NO_HEADERS

    def first_token(self) -> None:
        """See `Trace`."""

    def closed(self, state: Callable[[], StreamState]) -> None:
        """See `Trace`."""

    def ended(self) -> None:
        """See `Trace`."""


class NoTracer:
    """Traces nothing."""

    def exchange(self, headers: Mapping[str, str], route: str) -> Trace:  # noqa: ARG002
        """See `Tracer`."""
        return UNTRACED


UNTRACED: Trace = Untraced()
