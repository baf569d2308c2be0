"""Distortion loss: concentrates the weights along each ray, which reduces floaters."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from bozzetto.math import losses
from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import DistortionConfig


class Distortion:
    """Distortion loss of mip-NeRF 360, eq. 15, averaged over rays, with distances in units of the cube's diagonal.

    In [0, 1/2]; 1/2 for a ray with half of its weight at each end of the diagonal.
    """

    def __init__(self, config: DistortionConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the distortion loss of the samples, a scalar in [0, 1/2].

        Raises:
            ConfigError: the renderer is not a volume renderer.
        """
        seen = reads.volume(inputs, "distortion")
        samples = seen.samples
        diagonal = 2.0 * math.sqrt(3.0) * inputs.geometry.radius
        start, end = samples.t_start / diagonal, samples.t_end / diagonal
        return losses.distortion(seen.weights, start, end, samples.ray, samples.offsets)
