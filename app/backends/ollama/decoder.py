"""What comes back from `/api/chat`: newline-delimited JSON, read into deltas."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.backends.decoding.answer_reader import AnswerReader


class OllamaDecoder(AnswerReader):
    """Reads the lines of a chat. See `Decoder`.

    One strict decoder reads the usual lines, for there is one in every token's way. `AnswerReader` reads whatever that
    one refuses, and the last line of an answer.
    """

    def feed(self, data: bytes) -> None:
        """See `Decoder`."""
        # Whole lines, as Ollama sends them: one call decodes them all.
        if data.endswith(b"\n") and not self._lines.held and not self._size:
            try:
                chunks = _decode_lines(data)
            except (ValueError, RecursionError):
                pass
            else:
                # Nearly all chunks are text and no more. Those cost no calls but the one that keeps the text.
                for chunk in chunks:
                    message = chunk.message
                    content = message.content
                    if content and self.plain and not message.thinking and not chunk.done:
                        self.add("token", content)
                    else:
                        self._rest(chunks, chunk, data)
                        return
                return
        for line in self.split(data):
            self._line(line)

    def _rest(self, chunks: list[_Chunk], first: _Chunk, data: bytes) -> None:
        """Take in the chunks from `first` on, each with the bytes that it came in."""
        self._started = True
        begin = next(place for place, chunk in enumerate(chunks) if chunk is first)
        values = _raw_lines(
            data
        )  # read in the same way, so that there are as many of them: not all end with a line
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
        """Take in a chunk, if it is one that says something and no more."""
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
    """What a token comes in. What is null here is read elsewhere where it is not."""

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
