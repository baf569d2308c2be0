"""Times several candidates against each other in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

Now = Callable[[], float]
"""Clock that returns seconds since an arbitrary origin."""

LEAST_REPEATS = 3
"""Minimum repetitions after the warm-up, even of a slow candidate."""


@dataclass(frozen=True)
class Timing:
    """Statistics of repeated runs."""

    median: float
    """Median seconds."""
    fastest: float
    """Minimum seconds."""
    repeats: int


def interleaved(
    candidates: Mapping[str, Callable[[], object]], repeats: int, budget: float = 10.0, now: Now = time.perf_counter
) -> dict[str, Timing]:
    """Run all candidates in turn, `repeats` times after a warm-up, so that disturbances affect all of them.

    Args:
        now: clock; `time.process_time` excludes other processes and sums over threads.
        budget: seconds after which a slow candidate is no longer repeated, but not before `LEAST_REPEATS`.
    """
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for run in candidates.values():
        run()
    for turn in range(max(repeats, 1)):
        for name, run in candidates.items():
            if turn < LEAST_REPEATS or sum(taken[name]) < budget:
                taken[name].append(seconds_of(run, now))
    return {name: Timing(statistics.median(times), min(times), len(times)) for name, times in taken.items()}


def seconds_of(run: Callable[[], object], now: Now) -> float:
    """Return the seconds of one call, synchronised with the accelerator."""
    synchronize()
    start = now()
    run()
    synchronize()
    return now() - start


def synchronize() -> None:
    """Wait for the accelerator, if there is one."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Set the number of threads of torch and the compiled kernels within a context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
