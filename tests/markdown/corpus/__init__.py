"""Texts that answers are made of: CommonMark's examples, answers of models, and hostile ones."""

from __future__ import annotations

import json
from pathlib import Path

_FOLDER = Path(__file__).parent

EXAMPLES: dict[str, str] = {
    f"{example['section']} {example['example']}": example["markdown"]
    for example in json.loads((_FOLDER / "commonmark.json").read_text(encoding="utf-8"))
}
ANSWERS: dict[str, str] = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted((_FOLDER / "answers").glob("*.md"))
}
# By language; `«keyword:if»` is a piece with its colour.
COLOURED: dict[str, str] = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted((_FOLDER / "code").glob("*.txt"))
}
