"""The behaviour of the scripted models, as data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from app.chat.errors import UpstreamError, UpstreamRejected
from app.chat.ports import Kind, Request

Ending = Literal["stop", "hang", "error"]


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """The behaviour of one scripted model. Times are in seconds."""

    text: str | None = ""  # the answer; `None` repeats the prompt. Not used with `sees`
    sees: bool = False  # whether it accepts images; it answers with their number and size
    repeat: int = 1  # number of times that the text is sent
    note: str = ""  # note that is sent first
    thought: str = ""  # reasoning before the answer
    first: float = 0.05  # until the first token
    pace: float = 0.02  # between tokens
    ending: Ending = "stop"
    closes: bool = True  # whether the connection ever closes after an abort
    deaf: float = 0.0  # time from its opening during which it ignores `abort` and cancellation of `read`


class Step(NamedTuple):
    """The next step, `after` seconds: a piece, an error, or (with neither) the end."""

    after: float
    kind: Kind | Literal["note"] = "token"
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

_CHAPTER = """## What the water does

A mill stands where the river *falls*. The **head** is the height of that fall, the flow is what passes in a second, and
the two together are all there is to have: `power = head * flow`, less what the wheel loses. The [race](https://example.org/race)
brings the water to the wheel, and the tailrace takes it away again, or the wheel would stand in its own waste.

1. The **sluice** opens, by hand or by a float.
2. Water fills the buckets:
   - an overshot wheel takes it from above,
   - an undershot wheel from below.
3. The axle turns the `pit wheel`, and that the stones.

| wheel | water comes | of the power it keeps |
|:---|:---:|---:|
| overshot | from above | 85 % |
| breastshot | at the axle | 65 % |
| undershot | from **below** | 30 % |

> What has passed the wheel is free. Nobody has yet made it climb back
> for nothing, though many have drawn plans for it.

```python
from dataclasses import dataclass

GRAVITY = 9.81  # m/s²
DENSITY = 1000.0  # kg/m³


@dataclass(frozen=True)
class Wheel:
    # A wheel, by how its water comes.

    name: str
    keeps: float  # of the power that falls

    def power(self, head: float, flow: float) -> float:
        # Return the watts at the axle; `head` is in metres, `flow` in cubic metres a second.
        return DENSITY * GRAVITY * head * flow * self.keeps


WHEELS = [Wheel("overshot", 0.85), Wheel("breastshot", 0.65), Wheel("undershot", 0.30)]


def best(head: float, flow: float) -> Wheel:
    # Return the wheel that grinds the most.
    return max(WHEELS, key=lambda wheel: wheel.power(head, flow))


if __name__ == "__main__":
    for wheel in WHEELS:
        print(f"{wheel.name:12} {wheel.power(3.2, 0.4):8.0f} W")
```

With a head of 3.2 m and 0.4 m³ a second the law

$$
P = \\rho g h Q \\eta
$$

gives some ten kilowatts, which is a sack of flour in a quarter of an hour. A miller who wants more digs a longer race;
one who wants it *steadier* builds a pond.

---

"""

SCRIPTS: dict[str, Script] = {
    "echo": Script(text=None),
    "short": Script(text="Hello! What would you like to know?"),
    "long": Script(text=_STORY, repeat=200),
    "markdown": Script(text=_MARKDOWN),
    "essay": Script(text=_CHAPTER, repeat=52, pace=0.005),  # 100 KB of rich Markdown, 200 tokens a second
    "reasoning": Script(thought="The user asks. I think about it, then I answer.", text="It is forty-two."),
    "notes": Script(note="Looking at the water…", text="It still runs downhill.", first=2.0),
    "vision": Script(text=None, sees=True),
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
    """Yield the steps in order. The last one read is an end, an error, or a step at infinite time."""
    pieces = _pieces(script, request)
    limit = request.options.max_tokens
    after = script.first
    if script.note:
        yield Step(0.0, "note", script.note)
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
    if request.messages and request.messages[-1].role == "assistant":
        yield from _rest(script, request)
        return
    for thought in _PIECES.findall(script.thought):
        yield "reasoning", thought
    text = _text(script, request)
    tokens: list[str] = _PIECES.findall(text)
    for _ in range(script.repeat):
        for token in tokens:
            yield "token", token


def _rest(script: Script, request: Request) -> Iterator[tuple[Kind, str]]:
    """Yield the text after the start of a continued answer, without the reasoning."""
    text = _text(script, request) * script.repeat
    for token in _PIECES.findall(text.removeprefix(request.messages[-1].content)):
        yield "token", token


def _text(script: Script, request: Request) -> str:
    if script.sees:
        sizes = [picture.size for message in request.messages for picture in message.pictures]
        return f"I see {len(sizes)} image{'' if len(sizes) == 1 else 's'} of {sum(sizes)} bytes together."
    return _prompt(request) if script.text is None else script.text


def _prompt(request: Request) -> str:
    return next((message.content for message in reversed(request.messages) if message.role == "user"), "")
