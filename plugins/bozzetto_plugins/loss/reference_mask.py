"""Silhouette loss against the photo's foreground mask."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import ReferenceMaskConfig


class ReferenceMask:
    """Mean over all pixels of (opacity - mask)^2."""

    def __init__(self, config: ReferenceMaskConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the silhouette error, a non-negative scalar.

        Raises:
            ConfigError: the task's view source has no photo.
        """
        photo = reads.photo(inputs, "reference-mask")
        return (inputs.rendered.opacity - photo.mask).square().mean()
