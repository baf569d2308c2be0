"""Noise schedule of a model folder."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from bozzetto.math.noise_schedules import alpha_bars, linear_betas, scaled_linear_betas, zero_terminal_snr
from bozzetto.model_files import read_settings
from bozzetto_plugins.guidance.weights import reading

KINDS = {"linear": linear_betas, "scaled_linear": scaled_linear_betas}
"""Variances by `beta_schedule`; diffusers computes all others."""


@dataclass(frozen=True)
class NoiseSchedule:
    """Noise levels, and what the network predicts of them."""

    alpha_bars: Float[Tensor, "T"]
    prediction: str


def read_schedule(path: Path) -> NoiseSchedule:
    """Read the schedule of any sampler of diffusers: all share the fields that define the noise levels.

    Raises:
        ModelError: it cannot be read.
    """
    with reading("The noise schedule", path):
        values = read_settings(path)
        kind = values.get("beta_schedule", "linear")
        if kind not in KINDS or values.get("trained_betas") is not None:
            return _of_diffusers(values)
        first, last = float(values.get("beta_start", 0.0001)), float(values.get("beta_end", 0.02))
        betas = KINDS[kind](first, last, int(values.get("num_train_timesteps", 1000)))
        betas = zero_terminal_snr(betas) if values.get("rescale_betas_zero_snr", False) else betas
        return NoiseSchedule(alpha_bars(betas), values.get("prediction_type", "epsilon"))


def _of_diffusers(values: Mapping[str, Any]) -> NoiseSchedule:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    known = inspect.signature(DDPMScheduler.__init__).parameters
    schedule = DDPMScheduler(**{key: value for key, value in values.items() if key in known})
    return NoiseSchedule(schedule.alphas_cumprod, schedule.config["prediction_type"])
