"""A reload in the middle of an answer changes nothing: the text and its markup are those of an unbroken page."""

from __future__ import annotations

import asyncio

from tests.benchmarks.page.stage import ESSAY, Stage, grows
from tests.benchmarks.page.table import Gate, none_of
from tests.browser.chat import Chat

SESSION = "reload"
RELOADS = 3
STILL_SECONDS, REST_SECONDS = 0.5, 20.0

# Progress is in the attributes; what a reader sees is in the elements.
MARKUP = """(box) => {
  const copy = box.cloneNode(true);
  copy.removeAttribute("data-end");
  return copy.innerHTML;
}"""


async def differences(stage: Stage) -> list[str]:
    """Watch one answer on three pages: unbroken, reloaded again and again, and opened when it had been stopped."""
    async with stage.context() as context:
        stream_id = await stage.ask(SESSION, ESSAY)
        unbroken = await stage.open(context, f"/sessions/{SESSION}")
        reloaded = await stage.open(context, f"/sessions/{SESSION}")
        for _ in range(RELOADS):
            await grows(reloaded)
            await reloaded.page.reload()
        await grows(reloaded)
        await stage.client.stop(stream_id)
        await asyncio.gather(unbroken.ends("stopped"), reloaded.ends("stopped"))
        late = await stage.open(context, f"/sessions/{SESSION}")
        return await _compare({"unbroken": unbroken, "reloaded": reloaded, "opened at the end": late})


async def _compare(seen: dict[str, Chat]) -> list[str]:
    """Compare once the pages are at rest: an answer may end while its last lines wait for their frame."""
    await asyncio.gather(*map(_at_rest, seen.values()))
    texts = {name: await chat.words() for name, chat in seen.items()}
    markup = {name: await chat.text().evaluate(MARKUP) for name, chat in seen.items()}
    first = next(iter(seen))
    found = [f"the text {name} is another" for name in texts if texts[name] != texts[first]]
    found += [
        f"the markup {name} is another: {_first_difference(markup[first], markup[name])}"
        for name in markup
        if markup[name] != markup[first]
    ]
    return found if texts[first] else ["there is no text", *found]


async def _at_rest(chat: Chat) -> None:
    """Wait until the text has been the same for a while."""
    async with asyncio.timeout(REST_SECONDS):
        before = None
        while before != (before := await chat.words()):
            await asyncio.sleep(STILL_SECONDS)


def _first_difference(one: str, other: str) -> str:
    at = next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )
    return f"{one[at : at + 60]!r} against {other[at : at + 60]!r}"


async def measure(stage: Stage) -> list[Gate]:
    """Look for differences."""
    return [none_of("reload in the middle of an answer: differences", await differences(stage))]
