"""Weight-decay loss."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.kinds.geometry import module
from bozzetto.math import losses
from bozzetto.types import LossInputs
from bozzetto_plugins.loss.config import WeightDecayConfig


class WeightDecay:
    """Mean squared parameter of the geometry. As a loss term, its gradient passes through the optimiser's moments."""

    def __init__(self, config: WeightDecayConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the mean square of the geometry's parameters, a scalar.

        Raises:
            ValueError: the geometry has no parameters.
        """
        return losses.mean_square(module(inputs.geometry).parameters())
