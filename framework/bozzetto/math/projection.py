"""Projection from world coordinates to the clip coordinates of rasterisers."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.types import Cameras


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


NEAREST = 1e-3
"""Minimum near-plane distance as a fraction of the scene's radius."""


def scene_clip_positions(vertices: Float[Tensor, "V 3"], cameras: Cameras, radius: float) -> Float[Tensor, "B V 4"]:
    """Project with near and far planes that just enclose the cube [-radius, radius]^3; see `clip_positions`."""
    reach = math.sqrt(3.0) * radius
    near = (cameras.distance - 1.01 * reach).clamp(min=NEAREST * radius)
    far = cameras.distance + 1.01 * reach
    return clip_positions(vertices, cameras.c2w, cameras.fov_y_rad, cameras.height, cameras.width, near, far)
