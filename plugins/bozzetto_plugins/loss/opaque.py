"""Entropy loss of pixel opacities."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.math import losses
from bozzetto.types import LossInputs
from bozzetto_plugins.loss.config import OpaqueConfig


class Opaque:
    """Mean binary cross-entropy of each pixel's opacity with itself, i.e. its entropy, in nats (threestudio).

    In [0.0079, 0.6931] with the default margin.
    """

    def __init__(self, config: OpaqueConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the mean entropy of the pixel opacities in nats, a scalar."""
        return losses.binary_entropy(inputs.rendered.opacity, self.config.margin).mean()
