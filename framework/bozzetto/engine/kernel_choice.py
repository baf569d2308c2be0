"""Applies the kernels that a stage's recipe chooses to this process."""

from __future__ import annotations

import torch

from bozzetto.kernels.settings import KernelSettings, configure
from bozzetto.recipe import TrainerConfig


def use_kernels(trainer: TrainerConfig) -> None:
    """Set packages and determinism of the kernels of this process, and of torch's operations.

    Operations for which torch has no deterministic form warn.
    """
    configure(KernelSettings(trainer.kernels, trainer.deterministic))
    if torch.are_deterministic_algorithms_enabled() != trainer.deterministic:  # setting it imports torch's compiler
        torch.use_deterministic_algorithms(trainer.deterministic, warn_only=True)
