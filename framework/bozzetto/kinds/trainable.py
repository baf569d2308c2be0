"""Protocol of a guidance or a score that trains a module of its own beside the scene, e.g. an adapter of its network.

The host registers the module as `guided.<task>.` of the system, so its parameters are saved and resumed with the run,
copied to further processes, and averaged over them. They have an optimiser of their own: `system.optimizer` and its
`clip_norm` concern the scene alone. After each step of the scene in which the task ran, the host calls the function
`fit` of the step's `Guided`, back-propagates the loss that it returns into the module, and moves its parameters. A new
stage is a new module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import nn

from bozzetto.math.schedules import Schedule

__all__ = ["Fitting", "Trainable"]


@dataclass(frozen=True)
class Fitting:
    """How a module is trained beside the scene, by an AdamW of its own (Loshchilov and Hutter 2019).

    Raises:
        ValueError: `steps` is below 1.
    """

    lr: Schedule
    """Learning rate by step of the stage."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay rates of the running first and second moments."""
    eps: float = 1e-8
    """Added to the denominator."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    clip_norm: float | None = None
    """Maximum norm of the module's gradient; None: no clipping."""
    steps: int = 1
    """Optimiser steps after each step of the scene; `fit` is called anew for each."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: must be at least 1, got {self.steps}")


@runtime_checkable
class Trainable(Protocol):
    """Guidance or score that trains a module. Each `Guided` that it returns has a function `fit`.

    Parameters that require gradients and are not in the module are refused: nothing would train or clear them.
    """

    @property
    def fitting(self) -> Fitting:
        """How the module is trained; the same at every step."""

    def trainable(self) -> nn.Module | None:
        """Return the module, always the same, with trained parameters only; None: with these settings there is none.

        Frozen weights do not belong in it: all that it holds is saved in every checkpoint.
        """

    def rest(self) -> None:
        """Signal that training is over until the next step, so that weights can be offloaded."""
