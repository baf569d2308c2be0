"""Contact sheet of an object from several views: colour, normals, depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from bozzetto.math.map_pictures import normal_picture, surface_depth
from bozzetto.types import Rendered

LABEL_HEIGHT = 16
"""Height of the azimuth labels above the first row, pixels."""
NEAR, FAR = 1.0, 0.25
"""Grey values of the nearest and the farthest point."""


@dataclass(frozen=True)
class Side:
    """One view and its azimuth."""

    azimuth_deg: float
    rendered: Rendered


def draw_sheet(sides: list[Side]) -> Float[Tensor, "H W 3"]:
    """Draw one column per view, labelled with its azimuth; rows: colour, normals (if rendered), depth."""
    rows = [[side.rendered.image[0] for side in sides]]
    normals = [
        normal_picture(side.rendered.normal, side.rendered.opacity)[0]
        for side in sides
        if side.rendered.normal is not None
    ]
    if len(normals) == len(sides):
        rows.append(normals)
    rows.append(_depth_pictures([side.rendered for side in sides]))
    labels = [_label(f"{side.azimuth_deg:.0f}\N{DEGREE SIGN}", side.rendered.image.shape[2]) for side in sides]
    return torch.cat([torch.cat(row, dim=1) for row in [labels, *rows]], dim=0).clamp(0.0, 1.0)


def _depth_pictures(views: list[Rendered]) -> list[Float[Tensor, "H W 3"]]:
    """Return depth in grey, white at the nearest point of all views, fading to black with the opacity."""
    opacity = torch.cat([view.opacity for view in views])
    depth = surface_depth(torch.cat([view.depth for view in views]), opacity)
    solid = depth[opacity > 0.5]
    near, far = (float(solid.min()), float(solid.max())) if len(solid) else (0.0, 1.0)
    share = ((depth - near) / max(far - near, 1e-6)).clamp(0.0, 1.0)
    grey = opacity * (NEAR + (FAR - NEAR) * share)
    return list(grey.expand(-1, -1, -1, 3).unbind(0))


def _label(text: str, width: int) -> Float[Tensor, "H W 3"]:
    """Draw small black text on white."""
    strip = Image.new("RGB", (width, LABEL_HEIGHT), "white")
    ImageDraw.Draw(strip).text((4, 2), text, fill="black")
    return torch.from_numpy(np.array(strip)).float() / 255.0
