"""What is read of a running server each second, and what its leaks would look like."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

MIB = 1024 * 1024
LONG_ENOUGH = 180.0  # s; growth is not judged in a shorter run: it has hardly warmed up
# That may be open at rest and were not at the start: the history's three readers open the file and its journal when
# they are first needed, and one more connection of the scrape may still be closing.
SPARE_FILES = 3 * 2 + 1


class Reading(NamedTuple):
    """One scrape of the metrics."""

    at: float  # s since the start
    active: int
    queued: int
    zombies: int
    viewers: int
    done: int  # streams ended
    rss: int  # bytes
    files: int
    blocked: float  # s that the loop was blocked, since the start

    @classmethod
    def parse(cls, at: float, text: str) -> Reading:
        """Read the text format of Prometheus."""
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        value = {sample.name: sample.value for sample in samples}
        return cls(
            at,
            int(value["tailrace_streams_active"]),
            int(value["tailrace_streams_queued"]),
            int(value["tailrace_streams_zombie"]),
            int(value["tailrace_viewers"]),
            int(sum(sample.value for sample in samples if sample.name == "tailrace_streams_ended_total")),
            int(value["process_resident_memory_bytes"]),
            int(value["process_open_fds"]),
            value["tailrace_loop_blocked_seconds_total"],
        )

    @property
    def at_rest(self) -> bool:
        """Whether nothing is going on."""
        return (self.active, self.queued, self.zombies, self.viewers) == (0, 0, 0, 0)

    def line(self, before: Reading, model: str) -> str:
        """The line of progress. The loop's lag is that of the second since `before`."""
        lag = (self.blocked - before.blocked) * 1000
        return (
            f"{self.at:5.0f} s  active {self.active:3}  queued {self.queued:2}  done {self.done:6}  "
            f"zombies {self.zombies:2}  viewers {self.viewers:3}  rss {self.rss / MIB:6.1f} MiB  "
            f"files {self.files:3}  lag {lag:4.0f} ms  model {model}"
        )


def leaks(readings: list[Reading], at_rest: Reading) -> Iterator[str]:
    """Yield what has leaked, in words. `at_rest` is the last reading, some time after the last visitor left.

    Memory and open files go up and down with the load. So the medians of two windows are compared: of the second
    minute (the first warms up) and of the last, a fifth of the run at most. Memory may differ by 5 % and 4 MiB, open
    files by a half and 10, which is what the same load shows from one minute to the next.
    """
    if not at_rest.at_rest:
        yield f"something is left: {at_rest}"
    if at_rest.files > readings[0].files + SPARE_FILES:
        yield f"{at_rest.files} open files at rest, {readings[0].files} at the start"
    if readings[-1].at < LONG_ENOUGH:
        return
    window = min(60.0, readings[-1].at / 5)
    early = [reading for reading in readings if window <= reading.at < 2 * window]
    late = [reading for reading in readings if reading.at >= readings[-1].at - window]
    files = median(reading.files for reading in early), median(reading.files for reading in late)
    if files[1] > 1.5 * files[0] + 10:
        yield f"open files grew from {files[0]:.0f} to {files[1]:.0f}"
    memory = median(reading.rss for reading in early), median(reading.rss for reading in late)
    if memory[1] > 1.05 * memory[0] + 4 * MIB:
        yield f"memory grew from {memory[0] / MIB:.1f} to {memory[1] / MIB:.1f} MiB"
