"""The ports of the core to model servers and logging, and their data types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import msgspec
from msgspec import Meta

from app.chat.contents import Image
from app.chat.errors import ImageNotFound

Role = Literal["system", "user", "assistant"]
Kind = Literal["token", "reasoning"]
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class ImageData(msgspec.Struct, frozen=True):
    """An image with its bytes."""

    media_type: str
    data: bytes


class ChatMessage(msgspec.Struct, frozen=True):
    """One message as sent to a model server."""

    role: Role
    content: str
    pictures: tuple[Image, ...] = ()


class Options(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Sampling parameters that every backend supports. `None` means the model server's default."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None  # of the answer
    seed: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] | None = None
    stop: list[str] | None = None
    system: str | None = None  # the system prompt; an empty string means none

    def over(self, others: Options) -> Options:
        """Return these options, with `others` for those that are `None`."""
        said = {name: getattr(self, name) for name in self.__struct_fields__}
        return msgspec.structs.replace(others, **{k: v for k, v in said.items() if v is not None})


async def _nothing(_image_id: str) -> ImageData:
    raise ImageNotFound


class Request(msgspec.Struct, frozen=True):
    """A request to a backend. `model` is the backend's own name for the model, without the prefix.

    The system prompt is one of the messages; backends ignore `options.system`. If the last message is the assistant's,
    it is the beginning of the answer, and the model continues it.

    The images of the messages may be large. `load` returns one by its id, as often as it is needed, so that a backend
    has it in memory only while it is sent. Raises `ImageNotFound`, `HistoryUnavailable`.
    """

    model: str
    messages: Sequence[ChatMessage]
    options: Options = Options()
    headers: Mapping[str, str] = NO_HEADERS  # to send along with it, if it is sent over HTTP
    owner: str = ""
    session_id: str = ""
    stream_id: str = ""
    load: Callable[[str], Awaitable[ImageData]] = _nothing


class Model(msgspec.Struct, frozen=True):
    """A model that a backend can run. `None` means that the model server does not report it."""

    name: str
    backend: str
    context: int | None = None  # tokens
    continues: bool = False  # whether it can continue an incomplete answer
    vision: bool | None = None  # whether it accepts images

    @property
    def model_id(self) -> str:
        """The public name: `backend/name`."""
        return f"{self.backend}/{self.name}"


class Usage(msgspec.Struct, frozen=True):
    """Token counts as reported by the model server."""

    prompt_tokens: int
    completion_tokens: int


class Delta(msgspec.Struct, frozen=True, gc=False):
    """Adjacent pieces of one kind; each text is what the model server sent as one token."""

    kind: Kind
    texts: list[str]


class Note(msgspec.Struct, frozen=True):
    """What a model is doing before or between its texts, in one short line. It is shown in place of "Thinking…"."""

    text: str


Piece = Delta | Note
Listener = Callable[[Sequence[Delta]], None]


class Generation(Protocol):
    """The generation of one answer, over its own connection.

    Creating it does no I/O. The first `read` opens the connection.
    """

    finish_reason: str | None  # set once `read` has returned nothing; `docs/models.md` lists the values
    heard: float  # loop time of the last keep-alive without text: a comment, an empty delta
    usage: Usage | None  # set once `read` has returned nothing, if the server reports it
    listener: Listener | None  # set by the reader, see `read`

    async def read(self) -> Sequence[Piece]:
        """Wait for at least one piece and return all that have arrived, in order; empty once the answer is complete.

        With a `listener`, a generation may pass text to it instead, synchronously and as it arrives, while a `read`
        waits. That costs less than to wake the reader for each token. An exception of the listener ends the generation
        and is raised by `read`.

        It has no timeout: the stream supervises it. After a cancelled `read` the generation cannot be used further.
        Raises a subclass of `UpstreamError` for any failure, including a missing end mark, and what `Request.load`
        raises.
        """

    def abort(self) -> None:
        """Close the upstream connection now. Synchronous, idempotent, never raises, may be called at any time.

        Because it does not await, no cancellation can prevent the connection from being closed.
        """

    async def wait_closed(self) -> None:
        """Return once the upstream connection is closed (after `abort`). The caller bounds the wait."""


class Backend(Protocol):
    """A model server, or something that behaves like one."""

    name: str  # the prefix of its models, such as "ollama", "openai", "embedded", "scripted"

    async def models(self) -> list[Model]:
        """Return the models it can run now. Bounded in time. Raises `UpstreamError` if the server does not respond."""

    def generate(self, request: Request) -> Generation:
        """Return an unopened generation. No I/O, never raises."""

    async def aclose(self) -> None:
        """Release the backend's resources: connections, child processes. Idempotent."""


@runtime_checkable
class DetailedBackend(Protocol):
    """A `Backend` that needs further requests for the details of the models in its list."""

    def listed(self) -> list[Model]:
        """Return the models of the last list with all details known so far. No I/O."""

    async def describe(self, model: Model, wait: float) -> Model:
        """Return the model with its details, requesting them if necessary.

        If they do not arrive within `wait` seconds, the model is returned unchanged. Never raises `UpstreamError`.
        """


class Unreachable(msgspec.Struct, frozen=True):
    """A backend that does not respond, and why, as a sentence for the user."""

    backend: str
    code: str
    message: str


class BackendHealth(msgspec.Struct, frozen=True):
    """What the last request for a backend's model list has shown."""

    backend: str
    models: int
    failure: Unreachable | None  # `None` after a success, and before the first answer
    age: float | None  # s since that answer or failure; `None` before the first

    @property
    def available(self) -> bool:
        """Whether it can be used. A server without a model list serves the models that the operator named."""
        return self.failure is None or self.models > 0


@runtime_checkable
class RemoteBackend(Protocol):
    """A `Backend` that sends prompts to a server of somebody else, perhaps."""

    @property
    def origin(self) -> str:
        """Scheme, host and port of the server, to be shown."""


class ModelListing(msgspec.Struct, frozen=True):
    """The available models. `default` is used for prompts that name no model."""

    models: list[Model]
    unreachable: list[Unreachable]
    default: str | None
    backends: tuple[str, ...] = ()  # all configured backends, in order
    origins: Mapping[str, str] = MappingProxyType({})  # of the servers that prompts go to, by backend


class Catalog(Protocol):
    """All backends together."""

    async def listing(self, *, refresh: bool = False) -> ModelListing:
        """Return the available models. Bounded in time; a backend that does not respond is listed as unreachable.

        The result may be cached for a few seconds, unless `refresh` is true.
        """

    def health(self) -> list[BackendHealth]:
        """Return the health of all backends, in order, as known now. Asks those again whose answer is too old."""

    async def resolve(self, model_id: str | None) -> tuple[Backend, Model]:
        """Return the backend and the model for a name; `None` means the default.

        A name whose backend does not respond at the moment is accepted. Raises `UnknownModel`, `NoModels`.
        """


class Logger(Protocol):
    """Structured logging as in structlog: an event name and fields. The core depends on nothing else."""

    def bind(self, **fields: Any) -> Logger:
        """Return a logger that adds these fields to each event, such as `trace` and `session`."""

    def debug(self, event: str, /, **fields: Any) -> Any:
        """Log at level debug."""

    def info(self, event: str, /, **fields: Any) -> Any:
        """Log at level info."""

    def warning(self, event: str, /, **fields: Any) -> Any:
        """Log at level warning."""

    def error(self, event: str, /, **fields: Any) -> Any:
        """Log at level error."""
