"""A request for one answer from Ollama, or from an Ollama-compatible server that accepts fewer fields."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from app.backends.errors.mapper import ErrorMapper
from app.backends.http.calls import REFUSALS, Call, Refusal, encoded
from app.backends.http.client import UpstreamClient
from app.backends.http.continuation import Begun
from app.backends.http.refusals import explained, names, refuses_system
from app.backends.ollama.models import full_name
from app.backends.ollama.request_body import Form, chat_body
from app.chat.ports import Logger, Request

CHAT = "api/chat"


class OllamaServer(NamedTuple):
    """A server and what is known about it."""

    name: str
    upstream: UpstreamClient
    voice: ErrorMapper
    forms: dict[str, Form]  # by model name, where the accepted form is not the default
    logger: Logger | None


class OllamaAttempt:
    """A request for one answer, adapted to the form that the server accepts. See `Retry`."""

    def __init__(self, server: OllamaServer, request: Request, begun: Begun, context: int | None) -> None:
        """`context` is in tokens, `None` to omit it."""
        self._server = server
        self._request = request
        self._begun = begun
        self._context = context
        self._form = server.forms.get(request.model, Form())

    async def call(self) -> Call:
        """Return the request to send now."""
        request = self._request

        def encode() -> bytes:
            return chat_body(
                full_name(request.model), self._begun, request.options, self._context, self._form
            )

        return Call(self._server.upstream, CHAT, await encoded(request, encode), self)

    async def refused(self, refusal: Refusal) -> Call | None:
        """See `Retry`. Omit `truncate`, then move the system prompt, each at most once."""
        changed = self._without(refusal)
        if changed is not None:
            self._form = changed
            return await self.call()
        if (error := explained(refusal, self._request.options)) is not None:
            raise error
        return None

    def accepted(self) -> None:
        """Remember the accepted form."""
        server, model = self._server, self._request.model
        if self._form != server.forms.get(model, Form()):
            server.forms[model] = self._form
            if server.logger is not None:
                changes = ", ".join(self._form.changes)
                server.logger.info("model_server_adapted", backend=server.name, model=model, changes=changes)

    def _without(self, refusal: Refusal) -> Form | None:
        if refusal.status not in REFUSALS:
            return None
        text = refusal.body.decode("utf-8", "replace")
        if not self._form.truncate and names(text, "truncate"):
            return msgspec.structs.replace(self._form, truncate=True)
        if not self._form.system and refuses_system(refusal.status, text, self._begun.messages):
            return msgspec.structs.replace(self._form, system=True)
        return None
