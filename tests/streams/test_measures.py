"""What the ends of streams are measured by."""

from __future__ import annotations

from typing import Any

import msgspec

from app.chat.contents import Problem
from app.chat.errors import FirstTokenTimeout, HistoryUnavailable, UpstreamError
from app.chat.ports import Model, Usage
from app.chat.records import StreamState
from app.chat.states import Outcome, Status
from app.measures import OTHER, Histograms
from app.streams.measures import MOST_BACKENDS, MOST_MODELS, StreamMeasures


def ended(outcome: Outcome = Outcome.COMPLETE, **fields: Any) -> StreamState:
    """An ended stream: 11 tokens in one second, the first after half a second."""
    state = StreamState(
        stream_id="st",
        session_id="s",
        status=Status.ENDED,
        outcome=outcome,
        finish_reason="stop",
        model="m",
        message_id="a",
        tokens=11,
        duration_ms=1000,
        ttft_ms=500,
        upstream_closed=True,
    )
    given = {name: getattr(state, name) for name in state.__struct_fields__} | fields
    return StreamState(**{name: value for name, value in given.items() if value is not msgspec.UNSET})


def failed(code: str) -> StreamState:
    """A stream that failed before its first token."""
    return ended(Outcome.FAILED, ttft_ms=None, tokens=0, error=Problem(code, "It failed."))


def totals(histograms: Histograms) -> dict[tuple[str, ...], tuple[int, float]]:
    """Count and sum, by labels."""
    return {labels: (histogram.count, histogram.total) for labels, histogram in histograms}


def test_an_answer_is_measured() -> None:
    """Times in seconds, tokens after the first, tokens of the prompt if the server reports them."""
    measures = StreamMeasures()
    measures.ended(ended(), Model("m", "ollama"))
    measures.ended(ended(usage=Usage(300, 21)), Model("m", "ollama"))
    assert totals(measures.first_token) == {("ollama", "m"): (2, 1.0)}
    assert totals(measures.duration) == {("ollama", "m", "complete", ""): (2, 2.0)}
    assert totals(measures.per_token) == {("ollama", "m"): (2, 0.05 + 0.025)}
    assert totals(measures.rate) == {("ollama", "m"): (2, 22.0 + 42.0)}
    assert totals(measures.usage) == {
        ("ollama", "m", "output"): (2, 11 + 21),
        ("ollama", "m", "input"): (1, 300),
    }
    assert not measures.errors


def test_errors_are_counted_by_backend_and_kind() -> None:
    """The kinds are those of the code. A failure of the history is not the backend's, and a stop is no error."""
    measures = StreamMeasures()
    for code in (FirstTokenTimeout.code, FirstTokenTimeout.code, "internal", "made up by an agent"):
        measures.ended(failed(code), Model("m", "ollama"))
    measures.ended(failed(HistoryUnavailable.code), Model("m", "ollama"))
    measures.ended(ended(Outcome.STOPPED), Model("m", "ollama"))
    assert measures.errors == {
        ("ollama", "first_token_timeout"): 2,
        ("ollama", "internal"): 1,
        ("ollama", OTHER): 1,
    }


def test_every_error_of_a_model_server_is_a_kind() -> None:
    """Subclasses of subclasses, too."""
    measures = StreamMeasures()
    kinds = [UpstreamError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        measures.ended(failed(kind.code), Model("m", "ollama"))
    assert len(kinds) > 8
    assert {name for _, name in measures.errors} == {kind.code for kind in kinds}


def test_names_that_users_made_up_have_no_label() -> None:
    """A model that never answered shares one name, so nobody can use up the places of the real ones."""
    measures = StreamMeasures()
    for number in range(100):
        measures.ended(failed("model_missing"), Model(f"made up {number}", "ollama"))
    measures.ended(ended(), Model("real", "ollama"))
    assert {labels[1] for labels, _ in measures.duration} == {OTHER, "real"}


def test_the_labels_are_bounded() -> None:
    """However many models answer."""
    measures = StreamMeasures()
    for number in range(100):
        measures.ended(ended(), Model(f"m{number}", f"b{number}"))
    assert len({labels[1] for labels, _ in measures.first_token}) == MOST_MODELS + 1
    assert len({labels[0] for labels, _ in measures.first_token}) == MOST_BACKENDS + 1
