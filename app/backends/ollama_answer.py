"""What comes back from `/api/chat`: newline-delimited JSON, read into deltas."""

from __future__ import annotations

from typing import Any

import msgspec

from app.backends.decoding import Gathering
from app.backends.faults import Voice
from app.backends.lines import LineSplitter
from app.streams.ports import Usage


class OllamaDecoder(Gathering):
    """Reads the lines of `/api/chat`. See `Decoder`."""

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice
        self._lines = LineSplitter()

    def feed(self, data: bytes) -> None:
        """See `Decoder`."""
        if data.endswith(b"\n") and not self._lines.held:
            # Whole lines, as Ollama sends them: one call decodes them all. What it objects to is read line by line
            # below, so that the good lines before a bad one count.
            try:
                chunks = _chunk_decoder.decode_lines(data)
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass
            else:
                for chunk in chunks:
                    self._take_in(chunk)
                return
        for line in self._lines.feed(data):
            self._read(line)

    def flush(self) -> None:
        """See `Decoder`."""
        for line in self._lines.flush():
            self._read(line)

    def _read(self, line: bytes) -> None:
        if self.done or not line:
            return
        try:
            chunk = _chunk_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._voice.garbled() from error
        self._take_in(chunk)

    def _take_in(self, chunk: _Chunk) -> None:
        if self.done:
            return
        if chunk.error is not None:
            raise self._voice.in_band(chunk.error)
        if chunk.message is not None:
            if chunk.message.thinking:
                self.add("reasoning", chunk.message.thinking)
            if chunk.message.content:
                self.add("token", chunk.message.content)
        if chunk.done:
            self._end(chunk)

    def _end(self, chunk: _Chunk) -> None:
        self.done = True
        self.finish_reason = chunk.done_reason or "stop"
        if chunk.eval_count is not None:
            # Ollama leaves prompt_eval_count out where the whole prompt was in its cache
            self.usage = Usage(chunk.prompt_eval_count or 0, chunk.eval_count)


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: Any = None


_chunk_decoder = msgspec.json.Decoder(_Chunk)
