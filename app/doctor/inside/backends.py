"""Model servers: which respond, and is there a model for a prompt that names none?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.chat.errors import NoModels, UnknownModel
from app.chat.ports import Catalog
from app.doctor.findings import Finding, note, ok, problem

CHECK = "models"


async def check(catalog: Catalog, default: str | None) -> AsyncIterator[Finding]:
    """Ask every model server for its list, and look up the default model. No model is started."""
    listing = await catalog.listing(refresh=True)
    for silent in listing.unreachable:
        mend = "Start it, or correct its address; docs/models.md explains the messages."
        if default is None or default.partition("/")[0] != silent.backend:
            yield note(CHECK, f"{silent.backend}: {silent.message}", mend)
        else:
            yield problem(CHECK, f"{silent.backend}, which has the default model: {silent.message}", mend)
    counts: dict[str, int] = {}
    for model in listing.models:
        counts[model.backend] = counts.get(model.backend, 0) + 1
    for backend, count in counts.items():
        yield ok(CHECK, f"{backend} has {count} model{'' if count == 1 else 's'}")
    try:
        await catalog.resolve(None)
    except NoModels:
        yield problem(
            CHECK,
            "no model is available, so no prompt can be answered",
            "Start Ollama, set TAILRACE_OPENAI_URL, or install the embedded model (`make setup`).",
        )
    except UnknownModel as error:
        yield problem(CHECK, str(error), "Correct TAILRACE_DEFAULT_MODEL, or load that model on its server.")
