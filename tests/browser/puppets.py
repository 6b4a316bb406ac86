"""A page whose model says what the test tells it to, when the test tells it to."""

from __future__ import annotations

from typing import NamedTuple

from tests.browser.chat import Chat
from tests.support.puppet import PuppetBackend, PuppetGeneration
from tests.support.waiting import until


class Led(NamedTuple):
    """The page of a new session, and the backend of its model."""

    chat: Chat
    backend: PuppetBackend

    async def ask(self, prompt: str) -> PuppetGeneration:
        """Send a prompt; return its generation, which has begun and said nothing yet."""
        place = len(self.backend.generations)
        await self.chat.page.get_by_label("Model", exact=True).select_option("puppet/puppet")
        await self.chat.ask(prompt)
        return await self.next(place)

    async def next(self, place: int) -> PuppetGeneration:
        """Return the generation of this number, once it has begun."""
        await until(lambda: len(self.backend.generations) > place)
        generation = self.backend.generations[place]
        await generation.opened.wait()
        return generation
