"""The ports of the heart: what it needs from model servers, history, other nodes and the log file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import msgspec
from msgspec import Meta

Role = Literal["system", "user", "assistant"]
Kind = Literal["token", "reasoning"]


class ImageData(msgspec.Struct, frozen=True):
    """An image with its bytes."""

    media_type: str
    data: bytes


class ChatMessage(msgspec.Struct, frozen=True):
    """One message as a model server gets it."""

    role: Role
    content: str
    pictures: tuple[ImageData, ...] = ()


class Options(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Sampling parameters that every backend understands. `None` leaves the choice to the model server."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None  # of the answer
    seed: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] | None = None
    stop: list[str] | None = None
    system: str | None = None  # what the model reads before everything else; empty: nothing

    def over(self, others: Options) -> Options:
        """Return these, and where they say nothing, the others."""
        said = {name: getattr(self, name) for name in self.__struct_fields__}
        return msgspec.structs.replace(others, **{k: v for k, v in said.items() if v is not None})


class Request(msgspec.Struct, frozen=True):
    """What a backend is asked to generate. `model` is the backend's own name for it, without the prefix.

    The system prompt is one of the messages; that of the options is not for the backend. A last message of the
    assistant is the beginning of the answer: only what comes after it is generated.
    """

    model: str
    messages: Sequence[ChatMessage]
    options: Options = Options()


class Model(msgspec.Struct, frozen=True):
    """A model that a backend can run. `None` where the model server does not say."""

    name: str
    backend: str
    context: int | None = None  # tokens
    continues: bool = False  # whether it can go on with an answer that broke off
    vision: bool | None = None  # whether it sees images

    @property
    def model_id(self) -> str:
        """The name that users see: `backend/name`."""
        return f"{self.backend}/{self.name}"


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the model server counted them."""

    prompt_tokens: int
    completion_tokens: int


class Delta(msgspec.Struct, frozen=True, gc=False):
    """Neighbouring pieces of one kind; each text is what the model server sent as one token."""

    kind: Kind
    texts: list[str]


class Note(msgspec.Struct, frozen=True):
    """What a model does before or between its texts, in one short line. It is shown in the place of "Thinking…"."""

    text: str


Piece = Delta | Note


class Generation(Protocol):
    """One answer being generated over a connection of its own.

    It is created unopened and without I/O. The first `read` opens the connection.
    """

    finish_reason: str | None  # known once `read` returned nothing; see `docs/models.md` for the words
    heard: float  # loop time of the last sign of life that was no text: a comment, an empty delta
    usage: Usage | None  # known once `read` returned nothing, where the server says

    async def read(self) -> Sequence[Piece]:
        """Return all that has arrived, at least one piece, in order; empty once the answer is complete.

        It has no timeout of its own: the stream watches over it. A cancelled `read` loses the generation.
        Raises `UpstreamError` (a subclass of it) for anything that goes wrong, a missing end mark included.
        """
        ...

    def abort(self) -> None:
        """Close the upstream connection now. Synchronous, idempotent, never raises, allowed at any time.

        Because nothing is awaited, no cancellation can come between a stop and the closed connection.
        """
        ...

    async def wait_closed(self) -> None:
        """Return once the upstream connection is closed (after `abort`). The caller bounds the wait."""
        ...


class Backend(Protocol):
    """A model server, or something that behaves like one."""

    name: str  # the prefix of its models: "ollama", "openai", "embedded", "scripted"

    async def models(self) -> list[Model]:
        """Return the models it can run now. Bounded in time. Raises `UpstreamError` if it does not answer."""
        ...

    def generate(self, request: Request) -> Generation:
        """Return an unopened generation. No I/O, never raises."""
        ...

    async def aclose(self) -> None:
        """Release what the backend holds: connections, child processes. Idempotent."""
        ...


@runtime_checkable
class DetailedBackend(Protocol):
    """A `Backend` whose list of models comes before what it tells of each of them."""

    def listed(self) -> list[Model]:
        """Return the models of the last list with all details that are known by now. No I/O."""
        ...

    async def describe(self, model: Model, wait: float) -> Model:
        """Return the model with its details, asked for if need be; as it was if they do not come in `wait` seconds.

        Never raises `UpstreamError`.
        """
        ...


class Unreachable(msgspec.Struct, frozen=True):
    """A backend that does not answer, and why, in a sentence that a user understands."""

    backend: str
    code: str
    message: str


class ModelListing(msgspec.Struct, frozen=True):
    """The models that can be had now. `default` is the one that a prompt without a model gets."""

    models: list[Model]
    unreachable: list[Unreachable]
    default: str | None
    backends: tuple[str, ...] = ()  # all that are configured, in their order


class Catalog(Protocol):
    """All backends together."""

    async def listing(self, *, refresh: bool = False) -> ModelListing:
        """Return what there is now. Bounded in time; a backend that does not answer is part of the answer.

        An answer of the last seconds may be given again, unless a `refresh` is asked for.
        """
        ...

    async def resolve(self, model_id: str | None) -> tuple[Backend, Model]:
        """Return the backend and the model of a name, `None` being the default.

        A name whose backend does not answer right now is accepted. Raises `UnknownModel`, `NoModels`.
        """
        ...


class Logger(Protocol):
    """Structured logging as structlog does it: an event name and fields. The heart depends on no more."""

    def debug(self, event: str, /, **fields: Any) -> Any:
        """Log at level debug."""
        ...

    def info(self, event: str, /, **fields: Any) -> Any:
        """Log at level info."""
        ...

    def warning(self, event: str, /, **fields: Any) -> Any:
        """Log at level warning."""
        ...

    def error(self, event: str, /, **fields: Any) -> Any:
        """Log at level error."""
        ...
