"""What the ends of streams are measured by: times, rates, token counts, errors. All of it is recorded once per stream.

Names of models come from users, so a model has a label of its own only once it has answered, and only the first
`MOST_MODELS` do.
"""

from __future__ import annotations

from collections import Counter

from app.chat import errors
from app.chat.ports import Model
from app.chat.records import StreamState
from app.chat.states import Outcome
from app.measures import QUICK, Histogram, Histograms, LabelValues

MOST_MODELS = 20
MOST_BACKENDS = 20
# Bounds in seconds. Up to 10 s and 81.92 s they are those of the GenAI semantic conventions; models on small machines
# take longer.
FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(30.0, 60.0, 300.0),
)
DURATION = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    *(163.84, 327.68, 655.36),
)
PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
RATE = (1, 2, 5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000)  # tokens per second
USAGE = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)  # tokens


def _codes(kind: type[errors.TailraceError]) -> set[str]:
    return {kind.code}.union(*map(_codes, kind.__subclasses__()))


KINDS = tuple(sorted({"internal", *_codes(errors.UpstreamError)}))  # of errors


class StreamMeasures:
    """The measures of one server since its start. The labels of a `Histograms` are backend and model, then more."""

    def __init__(self) -> None:
        self.first_token = Histograms(FIRST_TOKEN)
        self.duration = Histograms(DURATION)  # also labelled by outcome and kind of error ("" without one)
        self.per_token = Histograms(PER_TOKEN)
        self.rate = Histograms(RATE)
        self.usage = Histograms(USAGE)  # also labelled by `input` or `output`
        self.waited = Histogram(QUICK)  # s, from the signal until the next stream of the session could start
        self.outlasted = 0  # signalled streams that exceeded their bound
        self.closed = Histogram(QUICK)  # s, from the signal until the upstream connection was closed
        self.not_closed = 0  # ended streams whose upstream was not confirmed closed
        self.errors: Counter[tuple[str, str]] = Counter()  # by backend and kind
        self._models = LabelValues(MOST_MODELS)
        self._backends = LabelValues(MOST_BACKENDS)
        self._kinds = LabelValues(len(KINDS), KINDS)

    def __repr__(self) -> str:
        return f"<StreamMeasures errors={self.errors.total()}>"

    def ended(self, state: StreamState, model: Model) -> None:
        """Record a stream that has ended."""
        has_answered = state.ttft_ms is not None
        named = self._models.learn(model.name) if has_answered else self._models.of(model.name)
        labels = (self._backends.learn(model.backend), named)
        kind = self._kind(state)
        if kind:
            self.errors[labels[0], kind] += 1
        self.duration.observe(state.duration_ms / 1000, *labels, str(state.outcome), kind)
        self.not_closed += not state.upstream_closed
        if state.ttft_ms is not None:
            self._answered(state, state.ttft_ms, labels)

    def _kind(self, state: StreamState) -> str:
        """Return what kind of error a backend's failure was; empty for other outcomes, and if the history failed."""
        if state.outcome is not Outcome.FAILED or not state.error:
            return ""
        code = state.error.code
        return "" if code == errors.HistoryUnavailable.code else self._kinds.of(code)

    def _answered(self, state: StreamState, ttft_ms: int, labels: tuple[str, str]) -> None:
        self.first_token.observe(ttft_ms / 1000, *labels)
        count = state.completion_tokens
        if count > 1:
            self.per_token.observe((state.duration_ms - ttft_ms) / 1000 / (count - 1), *labels)
        if state.tokens_per_second is not None:
            self.rate.observe(state.tokens_per_second, *labels)
        self.usage.observe(count, *labels, "output")
        if state.usage is not None and state.usage.prompt_tokens > 0:
            self.usage.observe(state.usage.prompt_tokens, *labels, "input")
