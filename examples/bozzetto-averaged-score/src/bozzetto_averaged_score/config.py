"""Config of `averaged`. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bozzetto.fields import Range, Share, check_fields


@dataclass(frozen=True)
class AveragedConfig:
    """Settings of averaged score distillation."""

    draws: Annotated[int, Range(least=1, most=64)] = 4
    """Noises per view and step, of which each costs two predictions."""
    scale: Annotated[float, Range(least=0.0, most=1e4)] = 100.0
    """Guidance scale; 1 is the conditional prediction."""
    min_step_fraction: Share = 0.02
    """Lower bound of the timestep, as a fraction of the model's timesteps."""
    max_step_fraction: Share = 0.98
    """Upper bound of the timestep, as a fraction of the model's timesteps."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.min_step_fraction > self.max_step_fraction:
            raise ValueError(f"min_step_fraction: must not exceed max_step_fraction, got {self.min_step_fraction}")
