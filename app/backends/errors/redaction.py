"""Removes secrets from what a model server says outside its answers: it may repeat the key that it rejects."""

from __future__ import annotations

import re
from collections.abc import Iterable

from app.backends.errors.secret_forms import MOST_NESTED, any_of, bare, forms, is_letter, mixed

# Letters and digits that a secret must have to be searched with other characters between; fewer match everywhere.
SHORTEST = 6
MARK = "…"


class Redaction:
    """Finds secrets verbatim, in the encodings of `secret_forms`, and split by white space or punctuation."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        known = [secret for secret in secrets if secret]
        found = {form for secret in known for form in forms(secret)}
        letters = {letters for form in found if len(letters := bare(form)) >= SHORTEST}
        coded = [mixed(secret) for secret in known if len(bare(secret)) >= SHORTEST]
        self._forms = re.compile(any_of(_literal(found)))
        self._bare = re.compile(any_of([*_literal(letters), *coded]))
        self._secrets = len(known)

    def __repr__(self) -> str:
        return f"<Redaction secrets={self._secrets}>"

    def apply(self, text: str) -> str:
        """Return the text with each secret replaced by `MARK`, in linear time. What is around one may be another."""
        if not self._secrets:
            return text  # that of a local server: nothing is looked for
        for _ in range(MOST_NESTED):
            before, text = text, self._once(text)
            if text == before:
                return text
        return MARK

    def _once(self, text: str) -> str:
        text = self._forms.sub(MARK, text)
        return _without(text, self._bare) if self._bare.search(bare(text)) else text


def _literal(texts: Iterable[str]) -> list[str]:
    return [re.escape(text) for text in sorted(texts, key=len, reverse=True)]


def _without(text: str, secrets: re.Pattern[str]) -> str:
    """Replace each match by `MARK`, with any other characters between its letters."""
    places = [index for index, char in enumerate(text) if is_letter(char)]
    kept: list[str] = []
    since = 0
    for found in secrets.finditer(bare(text)):
        kept += (text[since : places[found.start()]], MARK)
        since = places[found.end() - 1] + 1
    return "".join(kept) + text[since:]
