"""How long the texts of a session's options may be: they go with every prompt, and are on every page of the session."""

from __future__ import annotations

from app.chat.ports import Options
from app.chat.sizes import utf8_size
from app.web.problems import ProblemError
from app.web.rules import LONGEST_STOP, MOST_STOPS, SYSTEM_BYTES


def check_options(options: Options) -> None:
    """Raise a 413 for a system prompt that is too long, a 422 for stop sequences that are too many or too long."""
    stops = options.stop or ()
    if len(stops) > MOST_STOPS:
        raise ProblemError(422, "invalid_stop", f"Enter at most {MOST_STOPS} stop sequences.")
    if any(len(stop) > LONGEST_STOP for stop in stops):
        raise ProblemError(
            422, "stop_too_long", f"A stop sequence can have up to {LONGEST_STOP} characters. Shorten it."
        )
    size = utf8_size(options.system or "")
    if size > SYSTEM_BYTES:
        raise ProblemError(
            413,
            "system_too_long",
            f"The system prompt is too long ({size} bytes). The limit is {SYSTEM_BYTES} bytes. Shorten it.",
        )
