"""A request for one answer, at the address and in the form that the server accepts."""

from __future__ import annotations

from typing import NamedTuple

from app.backends.errors.mapper import ErrorMapper
from app.backends.http.calls import Call, Refusal, encoded
from app.backends.http.client import UpstreamClient
from app.backends.http.continuation import Begun
from app.backends.http.refusals import explained
from app.backends.openai.adaptation import RefusedOptions
from app.backends.openai.address import CHAT, Address
from app.backends.openai.request_body import chat_body
from app.chat.errors import ModelMissing, UpstreamError
from app.chat.ports import Logger, Request

WRONG_ADDRESS = (404, 405, 501)  # statuses of a path that the server does not have


class Server(NamedTuple):
    """A server and what is known about it."""

    name: str
    address: Address
    upstream: UpstreamClient
    voice: ErrorMapper
    memory: RefusedOptions
    logger: Logger | None


class Attempt:
    """A request for one answer, adapted to the server. See `Retry`."""

    def __init__(self, server: Server, request: Request, begun: Begun, owner: str | None) -> None:
        self._server = server
        self._request = request
        self._begun = begun
        self._owner = owner
        self._adaptation = server.memory.of(request.model)
        self._prefixes = list(server.address.prefixes)
        self._missed: UpstreamError | None = None  # the error of the first address tried, the likeliest

    async def call(self) -> Call:
        """Return the request to send now."""
        request = self._request

        def encode() -> bytes:
            return chat_body(request, self._begun, owner=self._owner, adaptation=self._adaptation)

        body = await encoded(request, encode)
        return Call(self._server.upstream, self._prefixes[0] + CHAT, body, self)

    async def refused(self, refusal: Refusal) -> Call | None:
        """See `Retry`. Try another address, then another form of the request, each at most once."""
        error = refusal.error
        if refusal.status in WRONG_ADDRESS and not isinstance(error, ModelMissing):
            self._missed = self._missed or error
            self._server.address.missed(self._prefixes.pop(0))
            if not self._prefixes:
                raise self._missed
            return await self.call()
        adapted = self._adaptation.after(refusal, self._begun.messages, self._request.options)
        if adapted is not None:
            self._adaptation = adapted
            return await self.call()
        if (explanation := explained(refusal, self._request.options)) is not None:
            raise explanation
        return None

    def accepted(self) -> None:
        """Remember the address and the adaptation."""
        server, model = self._server, self._request.model
        server.address.found(self._prefixes[0])
        if self._adaptation != server.memory.of(model):
            server.memory.learn(model, self._adaptation)
            if server.logger is not None:
                changes = ", ".join(self._adaptation.changes)
                server.logger.info("model_server_adapted", backend=server.name, model=model, changes=changes)
