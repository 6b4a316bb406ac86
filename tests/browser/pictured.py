"""The conversations of the pictures: what is asked, and a scripted model that answers as a good one would."""

from __future__ import annotations

from app.backends.scripted.backend import ScriptedBackend, ScriptedGeneration
from app.backends.scripted.scripts import Script
from app.chat.ports import Model, Request

SYSTEM = "You are a patient engineer. Explain with one small example, and compare in a table."
QUESTION = "How do I retry a flaky HTTP request in Python without making things worse?"
NEXT = "And how long should I wait in total before I give up?"
STOPPED = "Show me the deadline in code, please."
FAILED = "Can you show me the deadline in code?"

_ANSWER = """Wait longer after each failure, add some **jitter** so that clients do not come back in step, \
and retry only what is safe to repeat.

```python
import asyncio, random

async def retry(call, attempts=5, first=0.5, most=30.0):
    for attempt in range(attempts):
        try:
            return await call()
        except ConnectionError:
            if attempt == attempts - 1:
                raise
            wait = min(most, first * 2**attempt)
            await asyncio.sleep(random.uniform(wait / 2, wait))
```

| answer | retry? | why |
|---|---|---|
| connection refused | yes | nothing has happened yet |
| `429`, `503` | yes, after `Retry-After` | the server asks for it |
| `500` after a `POST` | only with an idempotency key | it may have worked |
| `404`, `422` | no | it will not become right |
"""

_NEXT = """As long as the person in front of it would wait, and no longer. The waits of the example add up like this:

$$
T = \\sum_{n=0}^{3} 0.5 \\cdot 2^n = 7.5 \\text{ s}
$$

1. **A page**: two or three attempts, under three seconds in all. Then say what is wrong, and offer *Try again*.
2. **A job in the background**: minutes, as long as the attempts stay `30 s` apart.
3. **A queue**: hours; but give up on a message that fails *differently* each time, it will never work.

> Whatever you choose, put one bound around everything: a retry without a deadline is a loop.

So for your request I would take four attempts within eight seconds, which covers a restart of the server behind it, and
tell the reader after the second.
"""

_STOPPED = """A deadline belongs to the *whole* operation, not to each attempt. In Python 3.11 that is one line:

```python
async with asyncio.timeout(8):
    response = await retry(fetch)
```

Everything inside, the waits between attempts included, shares these eight seconds, and
"""

# What is asked, and how it is answered: as a model of fifty tokens a second would.
SCRIPTS = {
    QUESTION: Script(text=_ANSWER),
    NEXT: Script(text=_NEXT),
    STOPPED: Script(text=_STOPPED, ending="hang"),
    FAILED: Script(text=_STOPPED, ending="error"),
}

# Other sessions in the list, the newest last.
OTHERS = [
    "Names for a sourdough starter",
    "Explain B-trees with index cards",
    "Proofread: cover letter, second draft",
    "Why is the Baltic less salty?",
    "A week in Lisbon without a car",
    "SQL: latest row for each customer",
]


class PicturedBackend(ScriptedBackend):
    """One scripted model, whose script is chosen by the prompt."""

    name = "demo"

    async def models(self) -> list[Model]:
        """See `Backend`."""
        return [Model("engineer", self.name, 32_768)]

    def generate(self, request: Request) -> ScriptedGeneration:
        """See `Backend`."""
        script = SCRIPTS.get(request.messages[-1].content, Script(text="Gladly.", first=0.0))
        return ScriptedGeneration(script, request, self, hurry=1.0)
