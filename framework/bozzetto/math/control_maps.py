"""Maps of a rendered shape as ControlNets expect them (Zhang et al. 2023, arXiv:2302.05543): normals, inverse depth.

Both are smooth at silhouettes: pixels blend with the background by their opacity.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.cameras import ray_directions
from bozzetto.math.constants import constant

__all__ = ["FARTHEST", "inverse_depth", "normal_colors"]

FARTHEST = 0.2
"""Brightness of the farthest point of the object in `inverse_depth`, which sets it off from the background."""
SOLID = 0.5
"""Opacity from which a pixel counts as hit."""
SMALLEST = 1e-6


def normal_colors(
    normal: Float[Tensor, "B H W 3"], opacity: Float[Tensor, "B H W 1"], c2w: Float[Tensor, "B 4 4"]
) -> Float[Tensor, "B 3 H W"]:
    """Colour normals as ControlNet 1.1's model `normalbae` reads them: "blue is front, red is left, green is top".

    In the camera's frame (x right, y up, z toward the camera) a unit normal n is ((1 - n_x) / 2, (1 + n_y) / 2,
    (1 + n_z) / 2). The background is that of a wall that faces the camera. Source: the page of ControlNet 1.1's authors
    on the model, whose normals are estimated by the method of Bae et al. 2021, trained on ScanNet.

    Args:
        normal: in the world's frame, weighted by opacity, as rendered.
        c2w: camera-to-world matrices of OpenGL cameras.
    """
    seen = torch.einsum("bji,bhwj->bihw", c2w[:, :3, :3], normal)
    wall = constant((0.0, 0.0, 1.0), seen.device)[:, None, None] * (1.0 - opacity.permute(0, 3, 1, 2))
    signs = constant((-1.0, 1.0, 1.0), seen.device)[:, None, None]
    return (0.5 + 0.5 * signs * (seen + wall)).clamp(0.0, 1.0)


def inverse_depth(
    depth: Float[Tensor, "B H W 1"],
    opacity: Float[Tensor, "B H W 1"],
    c2w: Float[Tensor, "B 4 4"],
    fov_y_rad: Float[Tensor, "B"],
) -> Float[Tensor, "B 3 H W"]:
    """Return inverse depth in grey: 1 at the nearest point of a view, `FARTHEST` at its farthest, 0 where nothing is.

    Depth is measured along the optical axis, and its inverse scaled to each view's own range, as MiDaS's estimates are
    (Ranftl et al. 2022), on which ControlNet's depth models were trained.

    Args:
        depth: distance along the ray, weighted by opacity, as rendered, world units.
        fov_y_rad: vertical fields of view.
    """
    height, width = depth.shape[1:3]
    rays = ray_directions(c2w, fov_y_rad, height, width).view(len(c2w), height, width, 3)
    along = -torch.einsum("bhwi,bi->bhw", rays, c2w[:, :3, 2])[..., None]
    distance = along * depth / opacity.clamp(min=SMALLEST)
    hit = opacity > SOLID
    inverse = 1.0 / distance.clamp(min=SMALLEST)
    far = torch.where(hit, inverse, torch.inf).amin(dim=(1, 2), keepdim=True)
    near = torch.where(hit, inverse, 0.0).amax(dim=(1, 2), keepdim=True)
    share = ((inverse - far) / (near - far).clamp(min=SMALLEST)).clamp(0.0, 1.0)
    shown = torch.where(opacity > 0.0, FARTHEST + (1.0 - FARTHEST) * share, 0.0)
    shown = torch.where(near > 0.0, shown, 0.0)  # a view without object has no range
    return (opacity * shown).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
