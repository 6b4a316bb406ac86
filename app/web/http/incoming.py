"""What a connection offers to whoever reads the body of a request."""

from __future__ import annotations

from aiohttp import StreamReader

from app.web.grants import Grant


class BodyTooSlow(Exception):
    """The client sends the body too slowly, or not at all."""


class Incoming:
    """A connection that watches how fast a body arrives while a handler waits for it."""

    __slots__ = ()

    def begin_body(self, body: StreamReader) -> None:
        """Note that a handler begins to read `body`. Sends the client the `100` that it may wait for."""
        raise NotImplementedError

    def wait_for(self, body: StreamReader | None) -> None:
        """Note that a handler waits for more of `body`, or with `None` that it no longer does."""
        raise NotImplementedError

    def let_in_peer(self) -> None:
        """Note that the other end is a node of this cluster, whose connections are not counted by address."""
        raise NotImplementedError

    def let_in(self, grant: Grant) -> None:
        """Note that a request has passed the access control: the client is no stranger any more.

        If the access ends before its response has been sent, the response is cut. A handler that waits for the body
        then gets `AccessOver`.
        """
        raise NotImplementedError
