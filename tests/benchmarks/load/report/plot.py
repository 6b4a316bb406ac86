"""The plot: what a token costs against the number of streams, a line a server, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple
from xml.sax.saxutils import escape

from tests.benchmarks.load.report.rows import Row
from tests.benchmarks.load.servers.target import FASTAPI, NGINX, RELAY, TAILRACE

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 110, 44, 52  # margins; the names of the lines stand at the right
LABEL = 15  # the least distance of two names
COLOURS = {TAILRACE: "#0b6bcb", RELAY: "#c2410c", NGINX: "#4d7c0f", FASTAPI: "#7e22ce"}
STEPS = (1, 2, 5)


class Point(NamedTuple):
    """The streams, and the microseconds of a token: the median, and from where to where the rounds went."""

    streams: float
    cost: float
    low: float
    high: float


class Scale(NamedTuple):
    """Streams on a logarithmic axis, microseconds on a linear one that begins at nothing."""

    least: float
    most: float
    highest: float

    def x(self, streams: float) -> float:
        """Return the place of a number of streams."""
        part = math.log(streams / self.least) / (math.log(self.most / self.least) or 1)
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, cost: float) -> float:
        """Return the place of a cost."""
        return HEIGHT - BOTTOM - cost / self.highest * (HEIGHT - TOP - BOTTOM)


def render(rows: Sequence[Row]) -> str:
    """Return the SVG of the figures that have a place on it. Raises `ValueError` if none has."""
    lines = {name: list(_points(rows, name)) for name in COLOURS}
    lines = {name: points for name, points in lines.items() if points}
    every = [point for points in lines.values() for point in points]
    if not every:
        raise ValueError("nothing to plot: the scenario growth was not measured")
    step = _step(max(point.high for point in every))
    highest = math.ceil(max(point.high for point in every) / step) * step
    streams = sorted({point.streams for point in every})
    scale = Scale(streams[0], streams[-1], highest)
    parts = [
        *_axes(scale, streams, step),
        *(part for name, points in lines.items() for part in _line(scale, COLOURS[name], points)),
        *_names(scale, lines),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img" aria-labelledby="title">'
    )
    title = '<title id="title">Processor time per token against the number of streams</title>'
    return "\n".join(
        [head, title, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>', *parts, "</svg>\n"]
    )


def _points(rows: Sequence[Row], name: str) -> Iterator[Point]:
    for row in rows:
        values = row.values.get(name, ())
        if row.plotted is not None and values:
            yield Point(row.plotted, median(values), min(values), max(values))


def _step(highest: float) -> float:
    """Return a round distance of the horizontal lines, of which there are about five."""
    rough = highest / 5
    magnitude = 10.0 ** math.floor(math.log10(rough))
    return next((step * magnitude for step in STEPS if step * magnitude >= rough), 10 * magnitude)


def _axes(scale: Scale, streams: Sequence[float], step: float) -> Iterator[str]:
    yield _text(LEFT, 24, "Processor time per token, µs", anchor="start", weight="600")
    for number in range(round(scale.highest / step) + 1):
        y = scale.y(number * step)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>'
        yield _text(LEFT - 8, y + 4, f"{number * step:g}", anchor="end")
    for count in streams:
        yield _text(scale.x(count), HEIGHT - BOTTOM + 20, f"{count:,.0f}", anchor="middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "streams that run at the same time", anchor="middle")


def _line(scale: Scale, colour: str, points: Sequence[Point]) -> Iterator[str]:
    way = " ".join(f"{scale.x(point.streams):.1f},{scale.y(point.cost):.1f}" for point in points)
    yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for point in points:
        x = f"{scale.x(point.streams):.1f}"
        low, high = scale.y(point.low), scale.y(point.high)
        yield f'<line x1="{x}" x2="{x}" y1="{low:.1f}" y2="{high:.1f}" stroke="{colour}"/>'
        yield f'<circle cx="{x}" cy="{scale.y(point.cost):.1f}" r="3.5" fill="{colour}"/>'


def _names(scale: Scale, lines: dict[str, list[Point]]) -> Iterator[str]:
    """Name the lines at their ends, from the top down, none over another."""
    lowest = -math.inf
    for name, points in sorted(lines.items(), key=lambda line: scale.y(line[1][-1].cost)):
        y = max(scale.y(points[-1].cost) + 4, lowest + LABEL)
        lowest = y
        yield _text(WIDTH - RIGHT + 12, y, name, anchor="start", colour=COLOURS[name], weight="600")


def _text(x: float, y: float, text: str, *, anchor: str, colour: str = "#374151", weight: str = "400") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}"'
    return f"<text {place}>{escape(text)}</text>"
