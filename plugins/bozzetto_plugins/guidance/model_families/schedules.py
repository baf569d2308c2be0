"""Noise levels of the families, from the settings of the sampler in a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.errors import ModelError
from bozzetto.math.levels import Level, Output, rectified_flow, variance_preserving
from bozzetto.math.noise_schedules import exponential_shift, shifted_sigmas
from bozzetto.model_files import read_settings
from bozzetto_plugins.guidance.denoiser import OUTPUTS
from bozzetto_plugins.guidance.noise_schedule import read_schedule
from bozzetto_plugins.guidance.weights import reading

__all__ = ["FlowSchedule", "PreservingSchedule", "read_flow", "read_preserving"]

FLOW_TIMES = 1000.0
"""Time of pure noise in diffusers' samplers of flows."""


class PreservingSchedule:
    """Levels of a variance-preserving model, from its products of alphas."""

    def __init__(self, alpha_bars: Float[Tensor, "T"], output: Output, device: torch.device) -> None:
        self.alpha_bars = alpha_bars.to(device=device, dtype=torch.float32)
        self.output: Output = output
        self.train_steps = len(alpha_bars)

    def level(self, timestep: Int[Tensor, "B"]) -> Level:
        """Return signal and noise at each timestep."""
        return variance_preserving(self.alpha_bars[timestep])

    def network_time(self, timestep: Int[Tensor, "B"]) -> Tensor:
        """Return the timestep itself."""
        return timestep


class FlowSchedule:
    """Levels of a rectified flow: timestep t is the one with sigma `sigmas[t]`, which ascends to 1."""

    output: Output = "flow"

    def __init__(self, sigmas: Float[Tensor, "T"], device: torch.device) -> None:
        self.sigmas = sigmas.to(device=device, dtype=torch.float32)
        self.train_steps = len(sigmas)

    def level(self, timestep: Int[Tensor, "B"]) -> Level:
        """Return the signal `1 - sigma` and the noise `sigma`."""
        return rectified_flow(self.sigmas[timestep])

    def network_time(self, timestep: Int[Tensor, "B"]) -> Tensor:
        """Return 1000 sigma."""
        return FLOW_TIMES * self.sigmas[timestep]


def read_preserving(folder: Path, device: torch.device) -> PreservingSchedule:
    """Read the levels of a variance-preserving model.

    Raises:
        ModelError: they cannot be read, or the model predicts what is not known.
    """
    schedule = read_schedule(folder / "scheduler" / "scheduler_config.json")
    if schedule.prediction not in OUTPUTS:
        raise ModelError(f"{folder}: the model predicts {schedule.prediction!r}; known are {' and '.join(OUTPUTS)}.")
    return PreservingSchedule(schedule.alpha_bars, OUTPUTS[schedule.prediction], device)


def read_flow(folder: Path, tokens: int, device: torch.device) -> FlowSchedule:
    """Read the levels of a rectified flow.

    Args:
        tokens: of an image, by which a sampler with `use_dynamic_shifting` moves its levels to more noise.

    Raises:
        ModelError: they cannot be read.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    with reading("The noise schedule", path):
        values = read_settings(path)
        steps = int(values.get("num_train_timesteps", 1000))
        shift = _dynamic(values, tokens) if values.get("use_dynamic_shifting") else float(values.get("shift", 1.0))
        return FlowSchedule(shifted_sigmas(shift, steps), device)


def _dynamic(values: Any, tokens: int) -> float:
    """Return the shift for images of so many tokens."""
    few, many = float(values.get("base_image_seq_len", 256)), float(values.get("max_image_seq_len", 4096))
    low, high = float(values.get("base_shift", 0.5)), float(values.get("max_shift", 1.15))
    return exponential_shift(float(tokens), (few, low), (many, high))
