"""Smoothness loss of the rendered normal image."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.math import losses
from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import NormalSmoothness2dConfig


class NormalSmoothness2d:
    """Mean squared difference of the normal image between vertical, plus horizontal, neighbours."""

    def __init__(self, config: NormalSmoothness2dConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the smoothness loss of the rendered normals, a non-negative scalar.

        Raises:
            ConfigError: no normals were rendered.
        """
        return losses.neighbor_difference(reads.normal_image(inputs, "normal-smoothness-2d"))
