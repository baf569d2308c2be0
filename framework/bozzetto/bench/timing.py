"""Times several candidates against each other in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

Now = Callable[[], float]
"""A clock: seconds since some moment."""

LEAST_REPEATS = 3
"""Even a slow candidate runs this often after its warm-up."""


@dataclass(frozen=True)
class Timing:
    """What several runs of one thing took."""

    median: float
    """Seconds."""
    fastest: float
    """Seconds."""
    repeats: int


def interleaved(
    candidates: Mapping[str, Callable[[], object]], repeats: int, budget: float = 10.0, now: Now = time.perf_counter
) -> dict[str, Timing]:
    """Run all candidates in turn, `repeats` times after a warm-up, so that what disturbs one disturbs all.

    Args:
        now: the clock; `time.process_time` leaves out what other processes take, and adds up threads.
        budget: seconds after which a slow candidate leaves the rounds, though never before `LEAST_REPEATS`.
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
    """Seconds of one call, until the accelerator, if there is one, has finished too."""
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
    """Let torch, and with it the compiled kernels, use `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
