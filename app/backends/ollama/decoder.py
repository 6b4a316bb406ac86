"""Decodes the response of `/api/chat`: newline-delimited JSON to deltas."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.backends.decoding.answer_reader import AnswerReader


class OllamaDecoder(AnswerReader):
    """Decodes the lines of a chat response. See `Decoder`.

    A strict, fast decoder handles the usual lines, one per token. `AnswerReader` handles lines that it rejects, and the
    last line of an answer.
    """

    def feed(self, data: bytes) -> None:
        """See `Decoder`."""
        # Complete lines, as Ollama sends them: one call decodes all of them.
        if data.endswith(b"\n") and not self._lines.held and not self._size:
            try:
                chunks = _decode_lines(data)
            except (ValueError, RecursionError):
                pass
            else:
                # Nearly all chunks are plain text.
                texts: list[str] = []
                for chunk in chunks if self.plain else ():
                    message = chunk.message
                    if (content := message.content) and not message.thinking and not chunk.done:
                        texts.append(content)
                    else:
                        break
                self.add_all("token", texts)
                if len(texts) < len(chunks):
                    self._rest(chunks, len(texts), data)
                return
        for line in self.split(data):
            self._line(line)

    def _rest(self, chunks: list[_Chunk], begin: int, data: bytes) -> None:
        """Process the chunks from number `begin` on, each with its raw bytes."""
        self._started = True
        # Split by the same decoder as the chunks, so that both match: not every value is on its own line.
        values = _raw_lines(data)
        for chunk, value in zip(chunks[begin:], values[begin:], strict=True):
            if not self._takes(chunk):
                self.line(bytes(value))

    def _line(self, line: bytes) -> None:
        try:
            chunk = None if self._size else _decode(line)
        except (ValueError, RecursionError):
            chunk = None
        if chunk is None or not self._takes(chunk):
            self.line(line)

    def _takes(self, chunk: _Chunk) -> bool:
        """Process a chunk if it contains only text or reasoning; return whether it did."""
        message = chunk.message
        content = message.content
        thinking = message.thinking
        if chunk.done or self.done or not (content or thinking):
            return False
        if thinking:
            self.say("reasoning", thinking)
        if content:
            self.say("token", content)
        self._values = 2
        return True


class _Message(msgspec.Struct, gc=False):
    """The message of a usual chunk. Chunks with other values are left to `AnswerReader`."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: Annotated[list[None], msgspec.Meta(max_length=0)] | None = None


class _Chunk(msgspec.Struct, gc=False):
    message: _Message
    done: bool = False
    error: None = None


_decoder = msgspec.json.Decoder(_Chunk)
_raw_lines = msgspec.json.Decoder(msgspec.Raw).decode_lines
_decode, _decode_lines = _decoder.decode, _decoder.decode_lines
