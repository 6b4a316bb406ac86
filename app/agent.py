"""What an agent is written with: the chat that it gets, and what it may yield beside text.

An agent is an async generator function that takes a `Chat` and yields its answer piece by piece. This module imports
nothing of the server. `docs/agents.md` explains how to write one and how to register it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias, TypeVar

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a prompt: its media type, such as `image/png`, and its bytes."""

    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the chat. Only messages of the user have images."""

    role: Role
    content: str
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """The options that the user has set for the chat. `None` means not set. The system prompt is a message."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """What is asked of the agent. The prompt is the last message.

    If `continues` is true, the last message is the beginning of the agent's own answer, which was interrupted; what
    the agent yields is appended to it. Only an agent that is `described` with `continues` gets such a chat.
    """

    messages: tuple[Message, ...]
    options: Options = Options()
    session_id: str = ""
    stream_id: str = ""
    owner: str = ""
    continues: bool = False
    headers: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({})
    )  # trace context to pass on

    @property
    def prompt(self) -> str:
        """The text of the newest message of the user, "" if there is none."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), "")


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Text that is shown as the agent's reasoning, apart from the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """What the agent is doing, in one short line. It is shown in place of "Thinking…" and kept nowhere."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """The number of tokens that were used. The last one yielded counts."""

    prompt_tokens: int
    completion_tokens: int


class Failed(Exception):
    """Ends the answer as failed. The message is shown to the user: one sentence that says what to do."""


Piece: TypeAlias = str | Reasoning | Note | Usage
Agent: TypeAlias = Callable[[Chat], AsyncGenerator[Piece, None]]
A = TypeVar("A", bound=Agent)

CONTEXT = 131_072  # tokens


@dataclass(frozen=True, slots=True)
class Description:
    """What an agent says about itself."""

    continues: bool = False
    images: bool = True
    context: int = CONTEXT


def described(*, continues: bool = False, images: bool = True, context: int = CONTEXT) -> Callable[[A], A]:
    """Return a decorator that describes an agent.

    `continues`: it can continue an interrupted answer. `images`: it accepts prompts with images. `context`: the tokens
    of the chat that it gets at most, estimated; the oldest messages are left out.
    """

    def describe(agent: A) -> A:
        agent.__tailrace__ = Description(continues, images, context)  # type: ignore[attr-defined]
        return agent

    return describe
