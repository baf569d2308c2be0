"""The state of a random generator in a checkpoint, which may be read on another device than it was written on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import Any

import torch

log = logging.getLogger(__name__)

STATE, DEVICE = "generator_state", "generator_device"
"""The keys of a checkpoint that hold it."""


def save_state(checkpoint: dict[str, Any], generator: torch.Generator) -> None:
    """Put the generator's state, and the kind of device it belongs to, into a checkpoint."""
    checkpoint[STATE] = generator.get_state()
    checkpoint[DEVICE] = generator.device.type


def load_state(checkpoint: Mapping[str, Any], generator: torch.Generator) -> None:
    """Continue the random numbers where a checkpoint stopped.

    The devices' generators are different algorithms, so that a state of another kind of device means nothing here: then
    the generator is seeded from its first seed and the checkpoint's step, and a notice says so.
    """
    state, here = checkpoint[STATE].cpu(), generator.device.type
    there = checkpoint.get(DEVICE, here)  # not recorded by the first releases
    if there == here and state.shape == generator.get_state().shape:
        generator.set_state(state)
        return
    step = int(checkpoint["global_step"])
    generator.manual_seed(seed_at(generator.initial_seed(), step))
    log.warning(
        "The run was saved on %s and goes on on %s, which draws other random numbers: they are seeded anew from the "
        "seed and step %d. The result is as good, and not the one that the first device would have given.",
        "another device" if there == here else there,
        here,
        step,
    )


def seed_at(seed: int, step: int) -> int:
    """A seed for what follows a step: the same each time, unlike those of other steps and seeds."""
    digest = hashlib.sha256(f"{seed} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # every generator takes 63 bits
