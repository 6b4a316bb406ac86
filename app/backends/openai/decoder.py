"""Decodes the response of `/v1/chat/completions`: server-sent events to deltas."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.backends.decoding.answer_reader import AnswerReader
from app.backends.json_values import MOST_COUNT
from app.chat.ports import Usage


class OpenAIDecoder(AnswerReader):
    """Decodes the events of a chat completion. See `Decoder`.

    A strict, fast decoder handles the usual chunks, one per token. `AnswerReader` handles chunks that it rejects.
    """

    def feed(self, data: bytes) -> None:
        """See `Decoder`."""
        for line in self.split(data):
            if not line and not self._size and not self._name:
                continue  # the end of an event that was processed already
            if self._size or self._name or not line.startswith(b"data:"):
                self.line(line)
                continue
            try:
                chunk = _decode(line[5:])
            except (ValueError, RecursionError):
                self.line(line)
            else:
                self._take_in(chunk, line)

    def _take_in(self, chunk: _Chunk, line: bytes) -> None:
        choice = chunk.choices[0]
        delta = choice.delta
        reasoning = delta.reasoning_content or delta.reasoning  # some servers send the same text in both
        content = delta.content
        if choice.finish_reason is not None or not (content or reasoning):
            self.line(line)
            return
        if content and self.plain and not reasoning:
            self.add("token", content)
        elif not self.done:
            self._say(reasoning, content)
        if chunk.usage is not None and not self.done:
            self.usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)

    def _say(self, reasoning: str | None, content: str | None) -> None:
        self._values = 2
        if reasoning:
            self.say("reasoning", reasoning)
        if content:
            self.say("token", content)


class _Delta(msgspec.Struct, gc=False):
    """The delta of a usual chunk. Chunks with other values are left to `AnswerReader`."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking: None = None
    refusal: None = None
    tool_calls: Annotated[list[None], msgspec.Meta(max_length=0)] | None = None
    function_call: None = None
    error: None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta
    finish_reason: str | None = None
    error: None = None


_Count = Annotated[int, msgspec.Meta(ge=0, lt=MOST_COUNT)]


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: _Count
    completion_tokens: _Count


class _Chunk(msgspec.Struct, gc=False):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1, max_length=1)]
    usage: _Usage | None = None
    error: None = None
    done: None = None


_decode = msgspec.json.Decoder(_Chunk).decode
