"""Curves of logged numbers as the geometry of an SVG picture, which a template draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDTH, HEIGHT = 340, 130
"""Size of the plotted area, pixels."""
MOST_POINTS = 300
"""Points of a line; of more, the means of neighbours are drawn."""
LOG_FROM = 50.0
"""Ratio of the largest to the smallest number from which the axis is logarithmic, if all are positive."""
COLORS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2", "#65a30d", "#dc2626")


@dataclass(frozen=True)
class Series:
    """Numbers of one run, by step."""

    label: str
    steps: Sequence[int]
    values: Sequence[float]
    """NaN where there is none."""


@dataclass(frozen=True)
class Line:
    """Line of a chart."""

    label: str
    color: str
    pieces: tuple[str, ...]
    """Points of each uninterrupted piece, `x,y x,y ...`, pixels."""
    last: str
    """Last number."""


@dataclass(frozen=True)
class Chart:
    """Picture of one metric."""

    title: str
    lines: tuple[Line, ...]
    low: str
    high: str
    first_step: int
    last_step: int
    logarithmic: bool


def chart(title: str, series: Sequence[Series]) -> Chart | None:
    """Return the picture of one metric, of one or several runs; None if there is no finite number."""
    thinned = [thin(one.steps, one.values) for one in series]
    numbers = [value for points in thinned for _, value in points if math.isfinite(value)]
    if not numbers:
        return None
    low, high = min(numbers), max(numbers)
    logarithmic = low > 0.0 and high / low >= LOG_FROM
    steps = [step for points in thinned for step, _ in points]
    first, last = min(steps), max(steps)

    def place(step: float, value: float) -> str:
        along = (step - first) / (last - first) if last > first else 0.5
        scaled = [math.log(one) for one in (value, low, high)] if logarithmic else [value, low, high]
        up = (scaled[0] - scaled[1]) / (scaled[2] - scaled[1]) if scaled[2] > scaled[1] else 0.5
        return f"{along * WIDTH:.1f},{(1.0 - up) * HEIGHT:.1f}"

    lines = []
    for number, (one, points) in enumerate(zip(series, thinned, strict=True)):
        pieces = tuple(" ".join(place(*point) for point in piece) for piece in _pieces(points))
        ends = [value for value in one.values if math.isfinite(value)]
        lines.append(Line(one.label, COLORS[number % len(COLORS)], pieces, short(ends[-1]) if ends else "–"))
    return Chart(title, tuple(lines), short(low), short(high), int(first), int(last), logarithmic)


def thin(steps: Sequence[int], values: Sequence[float]) -> list[tuple[float, float]]:
    """Return at most `MOST_POINTS` points: means of as many neighbours as that takes; NaN where all of them are."""
    group = math.ceil(len(steps) / MOST_POINTS) or 1
    points = []
    for start in range(0, len(steps), group):
        some = [value for value in values[start : start + group] if math.isfinite(value)]
        along = steps[start : start + group]
        points.append((sum(along) / len(along), sum(some) / len(some) if some else math.nan))
    return points


def _pieces(points: Iterable[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Return the runs of finite points; a single one is drawn twice, since a line needs two."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for step, value in points:
        if math.isfinite(value):
            pieces[-1].append((step, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece if len(piece) > 1 else piece * 2 for piece in pieces if piece]


def short(value: int | float) -> str:
    """Return a number with 4 significant digits, a whole one up to a billion with all of them."""
    if not math.isfinite(value):
        return "–"
    return str(int(value)) if value == int(value) and abs(value) < 1e9 else f"{value:.4g}"


def means(values: Sequence[float], parts: int) -> list[float]:
    """Return the means of the finite numbers in consecutive parts; NaN for a part without one."""
    edges = [round(len(values) * part / parts) for part in range(parts + 1)]
    found = []
    for start, end in pairwise(edges):
        some = [value for value in values[start:end] if math.isfinite(value)]
        found.append(sum(some) / len(some) if some else math.nan)
    return found
