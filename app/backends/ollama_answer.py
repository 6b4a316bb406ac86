"""What comes back from `/api/chat`: newline-delimited JSON, read into deltas."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.backends.answer import AnswerReader


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
                chunks = _decoder.decode_lines(data)
            except (ValueError, RecursionError):
                pass
            else:
                if all(_is_usual(chunk) for chunk in chunks):
                    self._started = True
                    for chunk in chunks:
                        self._take_in(chunk)
                    return
        for line in self.split(data):
            self._line(line)

    def _line(self, line: bytes) -> None:
        try:
            chunk = None if self._size else _decoder.decode(line)
        except (ValueError, RecursionError):
            chunk = None
        if chunk is None or self.done or not _is_usual(chunk):
            self.line(line)
        else:
            self._take_in(chunk)

    def _take_in(self, chunk: _Chunk) -> None:
        message = chunk.message
        if message.thinking:
            self.say("reasoning", message.thinking)
        if content := message.content:
            if self.plain:
                self.add("token", content)
            else:
                self.say("token", content)
        self._values += 1


class _Message(msgspec.Struct, gc=False):
    """What a token comes in. What is null here is read elsewhere where it is not."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: Annotated[list[None], msgspec.Meta(max_length=0)] | None = None


class _Chunk(msgspec.Struct, gc=False):
    message: _Message
    done: bool = False
    error: None = None


def _is_usual(chunk: _Chunk) -> bool:
    return not chunk.done and bool(chunk.message.content or chunk.message.thinking)


_decoder = msgspec.json.Decoder(_Chunk)
