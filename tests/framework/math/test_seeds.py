"""Tests of seeds that depend on a step."""

from __future__ import annotations

from bozzetto.math.seeds import seed_at


def test_seeds_fit_every_generator() -> None:
    assert all(0 <= seed_at(seed, step) < 2**63 for seed in (0, 2**63 - 1) for step in (0, 10**9))


def test_seeds_steps_and_parts_have_seeds_of_their_own() -> None:
    """Also in the 32 bits that a generator of the CPU uses."""
    cases = [(seed, step, *parts) for seed in range(20) for step in range(20) for parts in ((), (0,), (1,))]
    assert len({seed_at(*case) % 2**32 for case in cases}) == 1200


def test_a_seed_never_changes() -> None:
    """Resumed runs of earlier versions depend on it."""
    assert seed_at(0, 0) == 5303414058334976765
