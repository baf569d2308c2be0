"""Loss curves of a stage from its CSV file. No torch, no viser."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

Curve = tuple[np.ndarray, np.ndarray]
"""Steps and values."""

MOST_POINTS = 400
"""Points of a curve; of more, evenly spaced ones are kept, and the last."""
MOST_CURVES = 12
NO_LOSSES = ("gradient_norm", "timestep", "opacity")
"""Metrics that are no losses, and come after them."""


def curves_of(path: Path) -> Mapping[str, Curve]:
    """Return the curve of each metric by name; none if the file does not exist or holds no numbers."""
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, csv.Error):
        return {}
    names = sorted((name for name in (rows[0] if rows else ()) if name and name != "step"), key=_is_no_loss)
    found = {}
    for name in names[:MOST_CURVES]:
        pairs = ((_number(row.get("step")), _number(row[name])) for row in rows)
        points = [(step, value) for step, value in pairs if step is not None and value is not None]
        if points:
            kept = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int))
            both = np.array(points, dtype=np.float64)[kept]
            found[name] = (both[:, 0].copy(), both[:, 1].copy())
    return found


def _is_no_loss(name: str) -> bool:
    return name.rpartition("/")[2] in NO_LOSSES


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
