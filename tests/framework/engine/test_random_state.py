"""Tests of a generator's state in a checkpoint: same numbers on the same device, seeded anew on another."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bozzetto.engine.random_state import load_state, save_state


def saved(steps: int = 3) -> tuple[dict[str, Any], torch.Tensor]:
    """Return a checkpoint after some draws, and the next draw."""
    generator, checkpoint = torch.Generator().manual_seed(7), {"global_step": steps}
    torch.rand(steps, generator=generator)
    save_state(checkpoint, generator)
    return checkpoint, torch.rand(4, generator=generator)


def drawn_after(checkpoint: dict[str, Any], seed: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    load_state(checkpoint, generator)
    return torch.rand(4, generator=generator)


def test_the_same_device_goes_on_with_the_same_numbers(caplog: pytest.LogCaptureFixture) -> None:
    checkpoint, expected = saved()
    assert torch.equal(drawn_after(checkpoint), expected)
    del checkpoint["generator_device"]  # format of the first releases
    assert torch.equal(drawn_after(checkpoint), expected)
    assert not caplog.messages


@pytest.mark.parametrize("recorded", [True, False])
def test_another_device_is_seeded_from_seed_and_step(caplog: pytest.LogCaptureFixture, recorded: bool) -> None:
    elsewhere = {"generator_state": torch.zeros(16, dtype=torch.uint8), "global_step": 40}
    if recorded:
        elsewhere["generator_device"] = "elsewhere"
    first = drawn_after(elsewhere)
    assert torch.equal(first, drawn_after(elsewhere))
    assert not torch.equal(first, drawn_after({**elsewhere, "global_step": 41}))
    assert not torch.equal(first, drawn_after(elsewhere, seed=8))
    assert "reseeded from the seed and step 40" in caplog.messages[0]
    assert ("elsewhere" if recorded else "another device") in caplog.messages[0]
