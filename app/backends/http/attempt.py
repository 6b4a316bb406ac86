"""A request for one answer, at the address and in the form that the server accepts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from app.backends.errors.bodies import read_error_body
from app.backends.http.address import Address
from app.backends.http.client import UpstreamClient
from app.backends.http.pictured import Pictured
from app.backends.http.refusals import REFUSALS, Refusal, explained, names, refuses_system
from app.chat.errors import ModelMissing, UpstreamError
from app.chat.ports import NO_HEADERS, ChatMessage, Logger, Request

WRONG_ADDRESS = (404, 405, 501)  # statuses of a path that the server does not have
# An error about an exceeded limit also names the field, but does not refuse it. It names a number, too.
_NUMBER = re.compile(r"(?<![\w.-])[0-9]")
_TOO_MUCH = re.compile(
    r"too (large|big|high|long|many)|exceed|at most|at least|maximum|minimum|less than|greater than|must be|range"
    r"|context",
    re.IGNORECASE,
)


class Form(msgspec.Struct, frozen=True):
    """How a request differs from the API's own form. `True` marks a part that the server refused."""

    extras: bool = False  # the fields that some servers do not know are omitted
    max_tokens: bool = False  # sent as `max_completion_tokens`
    system: bool = False  # prepended to the first user message


class Call(NamedTuple):
    """A request: destination, body, what to do if it is refused, and headers of its own."""

    upstream: UpstreamClient
    path: str
    body: bytes | Pictured
    attempt: Attempt | None = None
    headers: Mapping[str, str] = NO_HEADERS


class Server:
    """A server and what is known about it. `extras` are the fields of a request that some servers do not know."""

    def __init__(
        self,
        name: str,
        upstream: UpstreamClient,
        address: Address,
        path: str,
        *,
        extras: Sequence[str],
        renames_max_tokens: bool = False,
        logger: Logger | None,
    ) -> None:
        self.upstream = upstream
        self.address = address
        self.path = path
        self._name = name
        self._extras = extras
        self._renames_max_tokens = renames_max_tokens
        self._logger = logger
        self._without_extras = False
        self._forms: dict[str, Form] = {}  # by model

    def __repr__(self) -> str:
        return f"<Server {self._name} extras={not self._without_extras} models={len(self._forms)}>"

    def form(self, model: str) -> Form:
        """Return the form of a request for a model."""
        return msgspec.structs.replace(self._forms.get(model, Form()), extras=self._without_extras)

    def learn(self, model: str, form: Form) -> None:
        """Remember an accepted form: `extras` for the whole server, the rest for the model."""
        if form == self.form(model):
            return
        self._without_extras = self._without_extras or form.extras
        self._forms[model] = form
        if self._logger is not None:
            said = {
                f"{self._extras[0]} left out": form.extras,
                "max_completion_tokens in the place of max_tokens": form.max_tokens,
                "system prompt put in front of the first user message": form.system,
            }
            changes = ", ".join(sentence for sentence, is_true in said.items() if is_true)
            self._logger.info("model_server_adapted", backend=self._name, model=model, changes=changes)

    def adapted(
        self, form: Form, refusal: Refusal, request: Request, messages: Sequence[ChatMessage]
    ) -> Form | None:
        """Return the form for the next attempt, `None` if the refusal names nothing that can be changed."""
        if refusal.status not in REFUSALS:
            return None
        text = refusal.body.decode("utf-8", "replace")
        limits = self._renames_max_tokens and request.options.max_tokens is not None
        if not form.extras and any(names(text, field) for field in self._extras):
            return msgspec.structs.replace(form, extras=True)
        if limits and not form.max_tokens and _refuses_max_tokens(text):
            return msgspec.structs.replace(form, max_tokens=True)
        if not form.system and refuses_system(refusal.status, text, messages):
            return msgspec.structs.replace(form, system=True)
        return None


class Attempt:
    """A request for one answer, adapted to the server.

    `encode` returns its body in a form, with a `place` for each image of `messages`. Their system prompt, if any, is
    the first.
    """

    def __init__(
        self,
        server: Server,
        request: Request,
        messages: Sequence[ChatMessage],
        encode: Callable[[Form], bytes],
    ) -> None:
        self._server = server
        self._request = request
        self._messages = messages
        self._encode = encode
        self._form = server.form(request.model)
        self._prefixes = list(server.address.prefixes)
        self._missed: UpstreamError | None = None  # the error of the first address tried, the likeliest

    def call(self) -> Call:
        """Return the request to send now."""
        body = Pictured.of(self._encode(self._form), self._messages, self._request.load)
        path = self._prefixes[0] + self._server.path
        return Call(self._server.upstream, path, body, self, self._request.headers)

    def refused(self, refusal: Refusal) -> Call | None:
        """Return the request to send instead, `None` if there is none. May raise `UpstreamError`.

        Another address is tried, then another form of the request, each at most once.
        """
        if refusal.status in WRONG_ADDRESS and not isinstance(refusal.error, ModelMissing):
            self._missed = self._missed or refusal.error
            self._server.address.missed(self._prefixes.pop(0))
            if not self._prefixes:
                raise self._missed
            return self.call()
        adapted = self._server.adapted(self._form, refusal, self._request, self._messages)
        if adapted is not None:
            self._form = adapted
            return self.call()
        if (explanation := explained(refusal, self._request.options)) is not None:
            raise explanation
        return None

    def accepted(self) -> None:
        """Remember the address and the form: the server has begun to answer."""
        self._server.address.found(self._prefixes[0])
        self._server.learn(self._request.model, self._form)


def _refuses_max_tokens(text: str) -> bool:
    if names(text, "max_completion_tokens"):
        return True
    words = read_error_body(text.encode()).message or text  # the body has other numbers, such as a status
    is_limit = _TOO_MUCH.search(words) is not None and _NUMBER.search(words) is not None
    return names(text, "max_tokens") and not is_limit
