"""The scripted backend, with a ledger of its generations and the last requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from app.backends.scripted.backend import ScriptedBackend, ScriptedGeneration
from app.backends.scripted.scripts import SCRIPTS, Script
from app.chat.ports import Request
from tests.doubles.generation_ledger import GenerationLedger, LedgerEntry, session_mark


class ScriptedDouble(ScriptedBackend):
    """The product's own backend, watched."""

    def __init__(self, scripts: Mapping[str, Script] = SCRIPTS, *, hurry: float = 1.0) -> None:
        super().__init__(scripts, hurry=hurry)
        self.ledger = GenerationLedger()
        self.requests: deque[Request] = deque(maxlen=1000)
        self._entries: dict[ScriptedGeneration, LedgerEntry] = {}

    def plays(self, model: str, script: Script) -> None:
        """From now on, this model answers so."""
        self._scripts = {**self._scripts, model: script}

    def opened(self, generation: ScriptedGeneration) -> None:
        super().opened(generation)
        self.requests.append(generation.request)
        self._entries[generation] = self.ledger.start(session_mark(generation.request.messages))

    def closed(self, generation: ScriptedGeneration) -> None:
        super().closed(generation)
        count = self.ledger.finish if generation.is_over else self.ledger.abort
        count(self._entries.pop(generation))
