"""Saturation of an object's colours: high where guidance exaggerates them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.silhouettes import SOLID


def saturation(picture: Float[Tensor, "V 4 S S"]) -> float:
    """Return the mean HSV saturation S = (max - min) / max of RGB, in [0, 1], over the pixels of the object.

    Args:
        picture: RGB in [0, 1] multiplied by opacity, which does not change S, then opacity. Pixels count if they are
            more opaque than `SOLID`; black ones have S = 0; 0 is returned if there are none.
    """
    colours = picture.permute(0, 2, 3, 1)[picture[:, 3] > SOLID][:, :3].clamp_min(0.0)
    if not len(colours):
        return 0.0
    highest, lowest = colours.amax(dim=1), colours.amin(dim=1)
    return float(torch.where(highest > 0.0, (highest - lowest) / highest.clamp_min(1e-6), 0.0).mean())
