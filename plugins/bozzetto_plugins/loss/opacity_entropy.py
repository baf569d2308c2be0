"""Entropy loss of opacities or sample weights."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from bozzetto.math import losses
from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import OpacityEntropyConfig


class OpacityEntropy:
    """Mean binary entropy of pixel opacities or sample weights, in bits; in [0, 1] (stable-dreamfusion).

    0 if there are no samples. `opaque` is the pixel variant in nats with a different margin.
    """

    def __init__(self, config: OpacityEntropyConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the mean entropy in bits, a scalar in [0, 1].

        Raises:
            ConfigError: `of` is `samples` and the renderer is not a volume renderer.
        """
        of_pixels = self.config.of == "pixels"
        seen = inputs.rendered.opacity if of_pixels else reads.volume(inputs, "opacity-entropy").weights
        entropy = losses.binary_entropy(seen, self.config.margin)
        return entropy.sum() / (math.log(2.0) * max(entropy.numel(), 1))
