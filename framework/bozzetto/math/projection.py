"""Projection from world coordinates to the clip coordinates of rasterisers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["clip_positions"]


def clip_positions(
    vertices: Float[Tensor, "V 3"],
    c2w: Float[Tensor, "B 4 4"],
    fov_y_rad: Float[Tensor, "B"],
    height: int,
    width: int,
    near: Float[Tensor, "B"],
    far: Float[Tensor, "B"],
) -> Float[Tensor, "B V 4"]:
    """Apply OpenGL's perspective projection, (x, y, z, w), with y negated: row 0 of the image is its top.

    A point is in the image when |x|, |y| and |z| are at most w; z / w is -1 at distance `near` along the view axis and
    1 at `far`. Differentiable in the vertices. Rigid camera matrices are inverted by transposing.
    """
    rotation, position = c2w[:, :3, :3], c2w[:, :3, 3]
    local = torch.einsum("bji,bvj->bvi", rotation, vertices[None] - position[:, None])  # x right, y up, looking at -z
    focal = 1.0 / torch.tan(0.5 * fov_y_rad)
    x = local[..., 0] * (focal * height / width)[:, None]
    y = -local[..., 1] * focal[:, None]
    depth = -local[..., 2]
    z = ((far + near) * depth.T - 2.0 * far * near) / (far - near)
    return torch.stack([x, y, z.T, depth], dim=-1)
