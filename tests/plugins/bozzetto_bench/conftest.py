"""Fixtures of the benchmark tests: problem sizes of a few milliseconds, and a clock that advances on each reading."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from bozzetto_bench.cases import Sizes
from bozzetto_bench.limits import Effort
from bozzetto_bench.measure import Thoroughness


@pytest.fixture
def ticking() -> Callable[[], float]:
    """Return a clock that advances by one second on each reading."""
    seconds = itertools.count()
    return lambda: float(next(seconds))


@pytest.fixture
def small() -> Thoroughness:
    return Thoroughness(
        Sizes(points=64, tables=(9,), levels=3, rays=20, cells=8, image=16, rings=6, texels=8),
        Effort(numbers=256, accesses=128, side=8),
        repeats=1, budget=0.0, steps=2, sweep_pixels=(8, 12), sweep_samples=(8, 16),
    )  # fmt: skip
