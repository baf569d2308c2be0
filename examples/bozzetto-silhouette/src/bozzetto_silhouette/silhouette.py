"""Silhouette loss against a mask image."""

from __future__ import annotations

from bozzetto.types import LossInputs
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from bozzetto_silhouette.config import SilhouetteConfig
from bozzetto_silhouette.masks import read_mask


class Silhouette:
    """Mean over pixels of (opacity - mask)^2, in every view of its task. Implements `bozzetto.kinds.loss.Loss`.

    Intended for a task with views from one side; the mask is resized to the view.
    """

    def __init__(self, config: SilhouetteConfig) -> None:
        self.mask = read_mask(config.mask)

    def __call__(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the loss, in [0, 1]."""
        opacity = inputs.rendered.opacity[..., 0]
        mask = self.mask.to(opacity.device)[None, None]
        wanted = interpolate(mask, opacity.shape[1:], mode="bilinear", align_corners=False, antialias=True)[0, 0]
        return (opacity - wanted).square().mean()
