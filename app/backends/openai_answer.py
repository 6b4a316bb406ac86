"""What comes back from `/v1/chat/completions`: events, read into deltas."""

from __future__ import annotations

from typing import Any

import msgspec

from app.backends.decoding import Gathering
from app.backends.faults import Voice
from app.backends.lines import EventSplitter
from app.streams.ports import Usage


class OpenAIDecoder(Gathering):
    """Reads the events of `/v1/chat/completions`. See `Decoder`."""

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice
        self._events = EventSplitter()

    def feed(self, data: bytes) -> None:
        """See `Decoder`."""
        for event in self._events.feed(data):
            self._read(event)

    def flush(self) -> None:
        """See `Decoder`."""
        for event in self._events.flush():
            self._read(event)

    def _read(self, event: bytes) -> None:
        if self.done:
            return
        if event == b"[DONE]":
            self.done = True
            self.finish_reason = self.finish_reason or "stop"
            return
        try:
            chunk = _chunk_decoder.decode(event)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._voice.garbled() from error
        if chunk.error is not None:
            raise self._voice.in_band(chunk.error)
        if chunk.choices:
            self._choose(chunk.choices[0])
        elif chunk.message is not None:  # vLLM's errors, before it took up OpenAI's form
            raise self._voice.in_band(chunk.message)
        if chunk.usage is not None:
            self.usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)

    def _choose(self, choice: _Choice) -> None:
        if choice.finish_reason is not None:
            self.finish_reason = choice.finish_reason
        delta = choice.delta
        if delta is None:
            return
        reasoning = delta.reasoning_content or delta.reasoning  # some servers send both, with one text
        if reasoning and isinstance(reasoning, str):
            self.add("reasoning", reasoning)
        if delta.content:
            self.add("token", delta.content)


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    message: Any = None


_chunk_decoder = msgspec.json.Decoder(_Chunk)
