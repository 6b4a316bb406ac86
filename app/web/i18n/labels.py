"""The label under an answer that did not end normally."""

from __future__ import annotations

from app.chat.states import Outcome
from app.web.i18n.error_texts import marked
from app.web.i18n.translations import Language

OTHER = "other"  # for finish reasons without a label of their own
# By outcome, or by finish reason if the answer is complete.
LABELS = {
    "stopped": marked("Stopped"),
    "superseded": marked("Replaced by a newer message"),
    "abandoned": marked("Stopped: no one was viewing"),
    "interrupted": marked("Interrupted"),
    "length": marked("Reached the token limit"),
    "content_filter": marked("Cut off by the provider's content filter"),
    "refusal": marked("The model refused"),
    "tool_calls": marked("The model asked for a tool, but Tailrace has none"),
    "empty": marked("Empty answer"),
    "load": marked("The model was loaded, but gave no answer. Try again."),
    "unload": marked("The model was unloaded"),
    OTHER: marked("Finish reason: %(reason)s"),
}
EXPECTED = ("stop", "failed")  # without a label; a failed answer shows its error instead


def label(language: Language, outcome: Outcome | None, finish_reason: str | None) -> str:
    """Return the label of an answer in a language; empty if it has none."""
    kind = finish_reason if outcome is Outcome.COMPLETE else outcome
    if kind is None or kind in EXPECTED:
        return ""
    said = language.sentences.gettext(LABELS.get(kind, LABELS[OTHER]))
    return said.replace("%(reason)s", kind)


def label_words(language: Language) -> dict[str, str]:
    """Return the labels for the scripts, keyed by `is:` and the outcome or finish reason."""
    labels = {f"is:{kind}": language.sentences.gettext(said) for kind, said in LABELS.items()}
    return {**labels, **{f"is:{kind}": "" for kind in (*EXPECTED, "null")}}
