"""Saves and restores the state of a random generator, possibly on another device."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch

from bozzetto.math.seeds import seed_at

log = logging.getLogger(__name__)

STATE, DEVICE = "generator_state", "generator_device"
"""Keys of a checkpoint with the generator's state."""


def save_state(checkpoint: dict[str, Any], generator: torch.Generator) -> None:
    """Store the generator's state and its device type in a checkpoint."""
    checkpoint[STATE] = generator.get_state()
    checkpoint[DEVICE] = generator.device.type


def load_state(checkpoint: Mapping[str, Any], generator: torch.Generator) -> None:
    """Restore the generator's state from a checkpoint.

    Generators of different device types use different algorithms, so their states are not compatible. In this case the
    generator is seeded from its initial seed and the checkpoint's step, and a notice is logged.
    """
    state, here = checkpoint[STATE].cpu(), generator.device.type
    there = checkpoint.get(DEVICE, here)  # not recorded by the first releases
    if there == here and state.shape == generator.get_state().shape:
        generator.set_state(state)
        return
    step = int(checkpoint["global_step"])
    generator.manual_seed(seed_at(generator.initial_seed(), step))
    log.warning(
        "The run was saved on %s and continues on %s, which draws other random numbers: they are reseeded from the "
        "seed and step %d. The result is equivalent, but differs from that of the first device.",
        "another device" if there == here else there,
        here,
        step,
    )
