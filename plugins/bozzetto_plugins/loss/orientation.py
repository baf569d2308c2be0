"""Orientation loss: penalises visible normals that face away from the camera."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.math import losses
from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import OrientationConfig


class Orientation:
    """Orientation loss of Ref-NeRF, eq. 11: sum of w max(0, n.d)^2 along each ray, averaged over all rays of the step.

    Rays that hit nothing count, so the scale does not depend on the number of samples or on the renderer.
    """

    def __init__(self, config: OrientationConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the orientation loss of the samples, a non-negative scalar.

        Raises:
            ConfigError: the renderer is not a volume renderer, or no normals were rendered.
        """
        seen = reads.volume(inputs, "orientation")
        normal = reads.sample_normals(seen, "orientation")
        return losses.orientation(seen.weights, normal, seen.samples.direction, len(seen.samples.rays))
