"""Reasoning that a model writes into its answer: `<think>…</think>` at the beginning."""

from __future__ import annotations

from app.chat.ports import Kind

TAGS = {
    "<think>": "</think>",  # DeepSeek, Qwen
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",  # Gemini's OpenAI-compatible API
    "[THINK]": "[/THINK]",  # Mistral
    "◁think▷": "◁/think▷",  # Kimi
}
MAX_SPACE = 4096  # characters of white space that are held; a model that writes no more is heard after them

Piece = tuple[Kind, str]


class ThinkTags:
    """Tells reasoning from answer while both come in pieces, and trims the white space around the reasoning.

    Only what an answer begins with counts: a tag further on is something that the model writes about. Pieces stay as
    they came wherever they are all of one kind, because each stands for a token.
    """

    def __init__(self) -> None:
        self.over = False  # whether the answer itself has begun, so that there is nothing left to do here
        self._closing = ""  # the tag that ends the reasoning, once it has begun
        self._closed = False  # whether that has come
        self._begun = False  # whether the reasoning has anything but white space
        self._held: list[str] = []  # pieces that may be a tag, or white space around it

    def __repr__(self) -> str:
        state = (
            "over" if self.over else "closed" if self._closed else "open" if self._closing else "not begun"
        )
        return f"<Thinking {state} held={self._held!r}>"

    def take(self, text: str) -> list[Piece]:
        """Return what can be told of the text so far, in order."""
        if self._closed:
            return self._after(text)
        return self._inside(text) if self._closing else self._before(text)

    def flush(self) -> list[Piece]:
        """Return what was held at the end of the answer, or at the beginning of something else."""
        held, self._held = self._held, []
        if self._closed:
            return []
        if not self._closing:
            self.over = bool(held)
            return [("token", piece) for piece in held]
        rest = "".join(held).rstrip()  # of reasoning that the model did not close, perhaps with half of a tag
        return [("reasoning", rest)] if rest else []

    def _before(self, text: str) -> list[Piece]:
        self._held.append(text)
        said = "".join(self._held)
        begun = said.lstrip()
        for opening, closing in TAGS.items():
            if begun.startswith(opening):
                self._closing = closing
                self._held = []
                return self._inside(begun[len(opening) :])
        if len(said) - len(begun) <= MAX_SPACE and any(tag.startswith(begun) for tag in TAGS):
            return []
        return self.flush()

    def _inside(self, text: str) -> list[Piece]:
        said = "".join(self._held) + text
        self._held = []
        if not self._begun:
            said = said.lstrip()
        thought, closing, rest = said.partition(self._closing)
        found: list[Piece] = []
        keep = len(thought.rstrip()) if closing else _certain(thought, self._closing)
        if keep:
            self._begun = True
            found.append(("reasoning", thought[:keep]))
        if not closing:
            self._held = [thought[keep:]] if keep < len(thought) else []
            return found
        self._closed = True
        return found + self._after(rest)

    def _after(self, text: str) -> list[Piece]:
        said = text.lstrip()
        if not said:
            return []
        self.over = True
        return [("token", said)]


def _certain(thought: str, closing: str) -> int:
    """Return how much of the thought is none of the white space before a closing tag, nor the beginning of that tag."""
    keep = len(thought)
    for size in range(min(len(closing) - 1, keep), 0, -1):
        if thought.endswith(closing[:size]):
            keep -= size
            break
    certain = len(thought[:keep].rstrip())
    return certain if keep - certain <= MAX_SPACE else keep
