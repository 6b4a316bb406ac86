"""Takes secrets out of what a model server says: it may repeat the key that it refuses."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from urllib.parse import quote, quote_plus

SHORTEST = 6  # letters and digits that are looked for between other characters; fewer are everywhere
MARK = "…"


class Redaction:
    """Finds secrets as they are, encoded for URLs, HTML or JSON, and split by white space, quotes or the like."""

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        self._forms = sorted(forms, key=len, reverse=True)
        self._bare = sorted(
            {bare for form in forms if len(bare := _bare(form)) >= SHORTEST}, key=len, reverse=True
        )

    def __repr__(self) -> str:
        return f"<Redaction forms={len(self._forms)}>"

    def apply(self, text: str) -> str:
        """Return the text with a mark in the place of each secret. Takes time linear in its length."""
        for form in self._forms:
            text = text.replace(form, MARK)
        for bare in self._bare:
            text = _without(text, bare)
        return text


def _forms(secret: str) -> Iterable[str]:
    encoded = quote(secret, safe="")
    escaped = secret.encode("unicode_escape").decode()
    yield from (
        secret,
        encoded,
        quote(encoded, safe=""),
        quote_plus(secret),
        quote(secret),
        escape(secret),
        escaped,
    )
    yield from (secret.replace("\\", "\\\\").replace('"', '\\"'), base64.b64encode(secret.encode()).decode())


def _bare(text: str) -> str:
    """Return the letters and digits of a text, in lower case."""
    return "".join(char.lower() for char in text if char.isalnum() and char.isascii())


def _without(text: str, bare: str) -> str:
    """Return the text with a mark from the first to the last letter of `bare`, whatever else stands between them."""
    places = [index for index, char in enumerate(text) if char.isalnum() and char.isascii()]
    letters = "".join(text[index].lower() for index in places)
    kept: list[str] = []
    since = start = 0
    while (found := letters.find(bare, start)) >= 0:
        kept += (text[since : places[found]], MARK)
        start = found + len(bare)
        since = places[start - 1] + 1
    return "".join(kept) + text[since:]
