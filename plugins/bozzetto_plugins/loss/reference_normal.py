"""Normal loss against a normal map."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.math.reference_losses import angular_difference
from bozzetto.types import LossInputs
from bozzetto_plugins.loss import reads
from bozzetto_plugins.loss.config import ReferenceNormalConfig


class ReferenceNormal:
    """Mean of 1 - cos(rendered normal, normal map) inside the photo's mask."""

    def __init__(self, config: ReferenceNormalConfig) -> None:
        self.config = config

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the angular error of the normals in the foreground, a scalar in [0, 2].

        Raises:
            ConfigError: the task's view source has no photo, the photo no normal map, or no normals were rendered.
        """
        photo = reads.photo(inputs, "reference-normal")
        if photo.normal is None:
            raise ConfigError(
                "loss reference-normal reads a normal map, and there is none. Set `normal` of the view source."
            )
        rendered = reads.normal_image(inputs, "reference-normal")
        wanted = torch.einsum("bij,bhwj->bhwi", inputs.cameras.c2w[:, :3, :3], photo.normal.expand_as(rendered))
        return angular_difference(rendered, wanted, photo.mask.expand(len(rendered), -1, -1, -1))
