"""Sparsity loss: penalises opacity."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.math import losses
from bozzetto.types import LossInputs
from bozzetto_plugins.loss.config import SparsityConfig


class Sparsity:
    """Mean of sqrt(opacity^2 + 0.01) over pixels, in [0.1, 1.005] (threestudio)."""

    def __init__(self, config: SparsityConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the sparsity loss of the pixel opacities, a scalar in [0.1, 1.005]."""
        return losses.sparsity(inputs.rendered.opacity)
