"""Removes secrets from what a model server says outside its answers: it may repeat the key that it rejects."""

from __future__ import annotations

import re
from collections.abc import Iterable

from app.backends.errors.secret_forms import bare, forms, is_letter

# Letters and digits that a secret must have to be searched with other characters between; fewer match everywhere.
SHORTEST = 6
MARK = "…"


class Redaction:
    """Finds secrets verbatim, in the encodings of `secret_forms`, and split by white space or punctuation."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        found = {form for secret in secrets if secret for form in forms(secret)}
        letters = {letters for form in found if len(letters := bare(form)) >= SHORTEST}
        self._forms = _any_of(found)
        self._bare = _any_of(letters)

    def __repr__(self) -> str:
        return f"<Redaction {'of secrets' if self._forms else 'of nothing'}>"

    def apply(self, text: str) -> str:
        """Return the text with each secret replaced by `MARK`, in linear time."""
        if self._forms is not None:
            text = self._forms.sub(MARK, text)
        if self._bare is not None and self._bare.search(bare(text)):
            text = _without(text, self._bare)
        return text


def _any_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _without(text: str, secrets: re.Pattern[str]) -> str:
    """Replace each match by `MARK`, with any other characters between its letters."""
    places = [index for index, char in enumerate(text) if is_letter(char)]
    kept: list[str] = []
    since = 0
    for found in secrets.finditer(bare(text)):
        kept += (text[since : places[found.start()]], MARK)
        since = places[found.end() - 1] + 1
    return "".join(kept) + text[since:]
