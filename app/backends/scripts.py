"""What the scripted models do, as data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from app.streams.errors import UpstreamError, UpstreamRejected
from app.streams.ports import Kind, Request

Ending = Literal["stop", "hang", "error"]


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """What one scripted model does. Times are in seconds."""

    text: str | None = ""  # the answer; `None` repeats the prompt
    repeat: int = 1  # how often the text comes
    thought: str = ""  # reasoning that comes before it
    first: float = 0.05  # until the first token
    pace: float = 0.02  # between tokens
    ending: Ending = "stop"
    closes: bool = True  # whether the connection ever closes after an abort
    deaf: float = 0.0  # how long after its opening it ignores both `abort` and a cancelled `read`


class Step(NamedTuple):
    """What comes next, `after` so many seconds: a piece, an error, or (with neither) the end."""

    after: float
    kind: Kind = "token"
    text: str = ""
    error: UpstreamError | None = None


_STORY = "The river turns the wheel, and the wheel never asks where the water goes. "

_MARKDOWN = """# A small table

| wheel | water |
|---|---|
| overshot | from above |
| undershot | from **below** |

1. Open the *sluice*.
2. Watch `wheel.turns` grow.

```python
def mill(water: int) -> int:
    return water // 2  # the rest runs off
```

> What has passed the wheel is free. <b>This is text, not HTML.</b>
"""

SCRIPTS: dict[str, Script] = {
    "echo": Script(text=None),
    "short": Script(text="Hello! What would you like to know?"),
    "long": Script(text=_STORY, repeat=200),
    "markdown": Script(text=_MARKDOWN),
    "reasoning": Script(thought="The user asks. I think about it, then I answer.", text="It is forty-two."),
    "slow-start": Script(text="Good things take time.", first=5.0),
    "hang": Script(ending="hang"),
    "hang-middle": Script(text="It begins well, and then", ending="hang"),
    "error": Script(ending="error"),
    "error-middle": Script(text="It begins well, and then", ending="error"),
    "stubborn": Script(text=_STORY, repeat=200, closes=False),
    "deaf": Script(text=_STORY, repeat=200, deaf=8.0),
}

_PIECES = re.compile(r"\s*\S+|\s+$")


def steps(script: Script, request: Request) -> Iterator[Step]:
    """Yield what happens, in order. It always ends with an end, an error, or a step that never comes."""
    pieces = _pieces(script, request)
    limit = request.options.max_tokens
    after = script.first
    for count, (kind, text) in enumerate(pieces):
        if limit is not None and count >= limit:
            break
        yield Step(after, kind, text)
        after = script.pace
    if script.ending == "hang":
        yield Step(math.inf)
    elif script.ending == "error":
        yield Step(after, error=UpstreamRejected("The scripted model failed, as its script says."))
    yield Step(after)


def _pieces(script: Script, request: Request) -> Iterator[tuple[Kind, str]]:
    for thought in _PIECES.findall(script.thought):
        yield "reasoning", thought
    text = _prompt(request) if script.text is None else script.text
    tokens: list[str] = _PIECES.findall(text)
    for _ in range(script.repeat):
        for token in tokens:
            yield "token", token


def _prompt(request: Request) -> str:
    return next((message.content for message in reversed(request.messages) if message.role == "user"), "")
