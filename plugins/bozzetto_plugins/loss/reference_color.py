"""Colour loss against the reference photo."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bozzetto.math.reference_losses import masked_square_error
from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import ReferenceColorConfig


class ReferenceColor:
    """Mean over all pixels of mask * (rendered - photo)^2; pixels outside the mask are left to `reference-mask`."""

    def __init__(self, config: ReferenceColorConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the colour error in the foreground, a non-negative scalar.

        Raises:
            ConfigError: the task's view source has no photo.
        """
        photo = reads.photo(inputs, "reference-color")
        image = inputs.rendered.image
        return masked_square_error(image, photo.image.expand_as(image), photo.mask.expand(len(image), -1, -1, -1))
