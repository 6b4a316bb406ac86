"""Masks secrets in an answer: a model server may repeat its key there, also split over many pieces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from app.backends.errors.redaction import MARK
from app.backends.errors.secret_forms import (
    LONGEST_SPELLING,
    MOST_NESTED,
    any_of,
    bare,
    begins,
    forms,
    is_letter,
    mixed,
)
from app.chat.ports import Delta, Kind

SHORTEST = 6  # letters and digits of a secret that is looked for in answers
STRONG, STRONG_WITH_DIGITS = 16, 8  # the same, of a secret that no text contains by chance
MOST_SEED = 8  # letters and digits at its start from which on a text is held back
GAP = 32  # characters that may be between two of its letters
CODED = "&#"  # with it begins a code of HTML
# Keys that are none: what documentation tells people to use with servers that want any.
PLACEHOLDERS = {
    *(
        "ollama",
        "lmstudio",
        "llamacpp",
        "localai",
        "notneeded",
        "nokeyrequired",
        "sknokeyrequired",
        "nothing",
    ),
    *("placeholder", "anything", "example", "yourapikey", "apikey", "bearer", "password", "openai"),
}


class _Form(NamedTuple):
    """One form of a secret. A weak one counts only as it is written, so that words in a text are not masked."""

    letters: str
    seed: str  # the start of the letters
    written: str | None = None  # of a weak secret
    mixed: str = ""  # the secret, if HTML may code some of its characters

    def begins_with(self, letters: str) -> bool:
        """Return whether letters are the start of it."""
        return self.letters.startswith(letters) or (self.mixed != "" and begins(letters, self.mixed))


class Secrets:
    """The secrets of one server, as they may appear in its answers, and the names of its models."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms = [form for secret in secrets for form in _forms(secret)]
        self._forms.sort(key=lambda form: len(form.letters), reverse=True)
        seeds = any_of(sorted({form.seed for form in self._forms}))
        coded = [form for form in self._forms if form.mixed]
        all_seeds = any_of([seeds, *(mixed(_start(form.mixed, form.seed)) for form in coded)])
        self.seeds = re.compile(seeds)
        self.coded_seeds = re.compile(all_seeds)  # in a text with codes of HTML
        self._overlapping = re.compile(f"(?={all_seeds})")
        self._whole = re.compile(
            any_of(
                [*dict.fromkeys(form.letters for form in self._forms), *(mixed(form.mixed) for form in coded)]
            )
        )
        self.longest = max((len(form.letters) for form in self._forms), default=0)
        self.margin = max((len(form.seed) for form in self._forms), default=1) - 1
        self.coded_margin = max(
            (LONGEST_SPELLING * len(_start(form.mixed, form.seed)) for form in coded), default=0
        )

    def __bool__(self) -> bool:
        return bool(self._forms)

    def __repr__(self) -> str:
        return f"<Secrets forms={len(self._forms)}>"

    def are_in(self, text: str) -> bool:
        """Return whether a text contains one."""
        return (
            bool(self._forms)
            and self.coded_seeds.search(bare(text)) is not None
            and bool(self.found(text, ""))
        )

    def found(self, text: str, before: str) -> list[tuple[int, int]]:
        """Return where a text has secrets, as pairs of indices. `before` are the letters that precede it.

        What is around one may be another: it is looked at again without the first.
        """
        spans: list[tuple[int, int]] = []
        for _ in range(MOST_NESTED):
            if not (more := self._found(text, before)):
                return spans
            spans = _joined([*spans, *more])
            text = _blanked(text, more)
        return [(0, len(text))]

    def _found(self, text: str, before: str) -> list[tuple[int, int]]:
        places = [index for index, char in enumerate(text) if is_letter(char)]
        spans: list[tuple[int, int]] = []
        for match in self._whole.finditer(before + bare(text)):
            begin, end = match.start() - len(before), match.end() - len(before)
            if end > 0:
                span = (places[begin] if begin >= 0 else 0, places[end - 1] + 1)
                seen = text[slice(*span)]
                plain = [form for form in self._forms if form.letters == match[0]]
                if not plain or any(_is_written(form, -begin, seen) for form in plain):
                    spans.append(span)
        return spans

    def begun(self, text: str, before: str) -> tuple[int, str] | None:
        """Return where a secret may begin that goes on after `text`.

        That is an index, and the letters of the secret that are in `before` already; `None` if there is none.
        """
        places = [index for index, char in enumerate(text) if is_letter(char)]
        letters = before + bare(text)
        first = max(0, len(letters) - self.longest)
        for match in self._overlapping.finditer(letters, first):
            place = match.start() - len(before)
            begin = places[place] if place >= 0 else 0
            if _has_gap([*places[max(place, 0) :], len(text)]):
                continue
            rest = letters[match.start() :]
            if any(
                form.begins_with(rest) and _is_written(form, -place, text[begin:], ends=False)
                for form in self._forms
            ):
                return begin, before[match.start() :] if place < 0 else ""
        return None

    def is_much(self, letters: str) -> bool:
        """Return whether these letters at the start of a secret say much about it."""
        return any(
            form.begins_with(letters) and (len(letters) >= STRONG or 2 * len(letters) > len(form.letters))
            for form in self._forms
        )


NO_SECRETS = Secrets()


class Masking:
    """Masks secrets in the texts of one answer. What may be the start of one is held back until that is certain."""

    def __init__(self, secrets: Secrets, begun: str = "") -> None:
        self._kinds: dict[Kind, _Text] = {"token": _Text(secrets, begun), "reasoning": _Text(secrets)}

    def __repr__(self) -> str:
        return f"<Masking {self._kinds}>"

    def take(self, deltas: list[Delta]) -> list[Delta]:
        """Return the deltas without secrets. Hot path: called for every token of a server with a key."""
        if len(deltas) == 1 and self._kinds[deltas[0].kind].passes(deltas[0].texts):
            return deltas
        return [
            Delta(delta.kind, texts)
            for delta in deltas
            if (texts := self._kinds[delta.kind].take(delta.texts))
        ]

    def flush(self) -> list[Delta]:
        """Return what was held back, at the end of the answer."""
        return [Delta(kind, texts) for kind, text in self._kinds.items() if (texts := text.flush())]


class _Text:
    """The pieces of one kind. Each stays a piece of its own: it is a token of the model."""

    __slots__ = ("_before", "_held", "_margin", "_open", "_secrets", "_seed_in")

    def __init__(self, secrets: Secrets, begun: str = "") -> None:
        self._secrets = secrets
        self._seed_in = secrets.seeds.search
        self._margin = -secrets.margin
        self._open = False  # whether the last piece may have ended within a code of HTML
        self._before = bare(begun[-GAP * secrets.longest :])[
            -secrets.longest :
        ]  # letters that are out already
        self._held: list[str] = []

    def __repr__(self) -> str:
        return f"<_Text held={len(self._held)}>"

    def passes(self, texts: list[str]) -> bool:
        """Return whether the texts can be shown as they are, and count them as shown if so."""
        text = texts[0] if len(texts) == 1 else "".join(texts)
        if CODED in text or (self._open and text.startswith(CODED[1])):
            self._beware()
        self._open = text.endswith(CODED[0])
        if self._held:
            return False
        letters = self._before + bare(text)
        if self._seed_in(letters) is not None:
            return False
        self._before = letters[self._margin :]
        return True

    def _beware(self) -> None:
        """Look for characters that HTML codes. That takes longer, so only where there is a code."""
        self._seed_in = self._secrets.coded_seeds.search
        self._margin = -max(self._secrets.margin, self._secrets.coded_margin)

    def take(self, texts: list[str]) -> list[str]:
        """Return what can be shown."""
        return texts if self.passes(texts) else self._look([*self._held, *texts])

    def flush(self) -> list[str]:
        texts, self._held = self._held, []
        letters = self._before + bare("".join(texts))
        return [MARK] if texts and self._secrets.is_much(letters) else texts

    def _look(self, texts: list[str]) -> list[str]:
        """Mask the secrets in the texts, and hold back what may be the start of another."""
        whole = "".join(texts)
        spans = self._secrets.found(whole, self._before)
        since = spans[-1][1] if spans else 0
        if since:
            # What is before a secret may go on after it.
            self._before = (self._before + bare(_blanked(whole, spans)[:since]))[-self._secrets.longest :]
        rest = self._secrets.begun(whole[since:], self._before)
        end = len(whole) if rest is None else since + rest[0]
        out = [text for text in _cut(texts, [*spans, (end, len(whole))], len(spans)) if text]
        self._held = [] if rest is None else list(_after(texts, end))
        letters = self._before + bare(whole[since:])
        self._before = rest[1] if rest is not None else letters[max(0, len(letters) - self._secrets.margin) :]
        return out


def _forms(secret: str) -> Iterator[_Form]:
    own = bare(secret)
    if len(own) < SHORTEST or own in PLACEHOLDERS:
        return
    if len(own) < STRONG and not (len(own) >= STRONG_WITH_DIGITS and _is_mixed(own)):
        places = [place for place, char in enumerate(secret) if is_letter(char)]
        yield _Form(own, _seed(own), written=secret[places[0] : places[-1] + 1])
        return
    yield _Form(own, _seed(own), mixed=secret)
    for letters in {bare(form) for form in forms(secret)} - {own}:
        if len(letters) >= SHORTEST:
            yield _Form(letters, _seed(letters))


def _start(secret: str, seed: str) -> str:
    """Return the start of a secret of which `bare` makes its seed."""
    end = next(end for end in range(len(secret) + 1) if bare(secret[:end]) == seed)
    return secret[:end]


def _is_mixed(letters: str) -> bool:
    return any(map(str.isdigit, letters)) and any(map(str.isalpha, letters))


def _seed(letters: str) -> str:
    return letters[: max(3, min(MOST_SEED, len(letters) // 3))]


def _is_written(form: _Form, before: int, text: str, *, ends: bool = True) -> bool:
    """Return whether a text is a weak form as it is written, or the start of it unless it `ends`.

    Its first `before` letters came earlier, perhaps with what follows them.
    """
    if form.written is None:
        return True
    places = [index for index, char in enumerate(form.written) if is_letter(char)]
    rests = (
        [form.written]
        if before <= 0
        else [form.written[places[before - 1] + 1 :], form.written[places[before] :]]
    )
    return text in rests if ends else any(rest.startswith(text) for rest in rests)


def _blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text of the same length, without letters in the spans."""
    kept: list[str] = []
    since = 0
    for begin, end in spans:
        kept += (text[since:begin], " " * (end - begin))
        since = end
    return "".join(kept) + text[since:]


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, those that overlap as one."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if joined and begin < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined


def _has_gap(places: Sequence[int]) -> bool:
    return any(after - before > GAP for before, after in pairwise(places))


def _cut(texts: Iterable[str], spans: Sequence[tuple[int, int]], masked: int) -> Iterator[str]:
    """Yield the texts without the spans of their whole; the first `masked` of them leave a `MARK`."""
    begin = number = 0
    for text in texts:
        kept: list[str] = []
        place = begin
        end = begin + len(text)
        while number < len(spans) and spans[number][0] < end:
            first, last = spans[number]
            if first >= begin:
                kept += (text[place - begin : first - begin], MARK if number < masked else "")
            place = min(last, end)
            if last > end:
                break
            number += 1
        kept.append(text[place - begin :])
        yield "".join(kept)
        begin = end


def _after(texts: Iterable[str], end: int) -> Iterator[str]:
    """Yield what the texts have after the index `end` of their whole."""
    begin = 0
    for text in texts:
        if begin + len(text) > end:
            yield text[max(0, end - begin) :]
        begin += len(text)
