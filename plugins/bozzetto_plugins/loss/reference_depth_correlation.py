"""Depth loss against a depth map of unknown scale."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.math.reference_losses import correlation
from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import ReferenceDepthCorrelationConfig


class ReferenceDepthCorrelation:
    """One minus the Pearson correlation of rendered depth and depth map inside the mask (stable-dreamfusion)."""

    def __init__(self, config: ReferenceDepthCorrelationConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the depth loss in the foreground, a scalar in [0, 2].

        Raises:
            ConfigError: the task's view source has no photo, or the photo no depth map.
        """
        photo = reads.photo(inputs, "reference-depth-correlation")
        if photo.depth is None:
            raise ConfigError(
                "loss reference-depth-correlation reads a depth map, and there is none. Set `depth` of the view source."
            )
        depth = inputs.rendered.depth
        return 1.0 - correlation(depth, photo.depth.expand_as(depth), photo.mask.expand_as(depth))
