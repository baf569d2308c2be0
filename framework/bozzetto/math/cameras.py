"""Camera geometry. World: right-handed, z up, azimuth 0 on +x and growing toward +y. Camera: OpenGL."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.constants import constant

__all__ = [
    "azimuth_deg",
    "elevation_deg",
    "look_at",
    "look_at_origin",
    "ray_directions",
    "spherical_position",
    "unit_distance",
]


def spherical_position(
    azimuth_deg: Float[Tensor, "B"], elevation_deg: Float[Tensor, "B"], distance: Float[Tensor, "B"]
) -> Float[Tensor, "B 3"]:
    """Compute world positions, d (cos e cos a, cos e sin a, sin e), from angles in degrees; inverse of the below."""
    azimuth, elevation = torch.deg2rad(azimuth_deg), torch.deg2rad(elevation_deg)
    direction = torch.stack(
        [
            torch.cos(elevation) * torch.cos(azimuth),
            torch.cos(elevation) * torch.sin(azimuth),
            torch.sin(elevation),
        ],
        dim=-1,
    )
    return distance[:, None] * direction


def azimuth_deg(position: Float[Tensor, "B 3"]) -> Float[Tensor, "B"]:
    """Return azimuths in (-180, 180], from +x toward +y; phi in the literature."""
    angle = torch.rad2deg(torch.atan2(position[:, 1], position[:, 0]))
    return torch.where(angle <= -180.0, angle + 360.0, angle)  # y = -0.0 or a rounding error below it


def elevation_deg(position: Float[Tensor, "B 3"]) -> Float[Tensor, "B"]:
    """Return elevations in [-90, 90], from the horizon; 90 - theta in the literature."""
    return torch.rad2deg(torch.atan2(position[:, 2], position[:, :2].norm(dim=-1)))


def look_at(
    position: Float[Tensor, "B 3"], target: Float[Tensor, "B 3"], up: Float[Tensor, "B 3"]
) -> Float[Tensor, "B 4 4"]:
    """Return camera-to-world matrices of OpenGL cameras (x right, y up, looking along -z) with determinant +1.

    Where the view is parallel to `up` (straight above), the image's up is the limit from the front: the camera's right
    stays in the horizontal plane, perpendicular to +x.
    """
    backward = torch.nn.functional.normalize(position - target, dim=-1)
    right = torch.linalg.cross(up, backward)
    parallel = right.norm(dim=-1, keepdim=True) < 1e-5
    right = torch.where(parallel, constant((0.0, 1.0, 0.0), right.device, right.dtype).expand_as(right), right)
    right = torch.nn.functional.normalize(right, dim=-1)
    true_up = torch.linalg.cross(backward, right)
    top = torch.stack([right, true_up, backward, position], dim=-1)
    bottom = constant((0.0, 0.0, 0.0, 1.0), top.device, top.dtype).expand(len(top), 1, 4)
    return torch.cat([top, bottom], dim=1)


def look_at_origin(position: Float[Tensor, "B 3"]) -> Float[Tensor, "B 4 4"]:
    """Return `look_at` matrices of upright cameras (z up) that look at the world's origin."""
    return look_at(
        position,
        torch.zeros_like(position),
        constant((0.0, 0.0, 1.0), position.device, position.dtype).expand_as(position),
    )


def ray_directions(
    c2w: Float[Tensor, "B 4 4"], fov_y_rad: Float[Tensor, "B"], height: int, width: int
) -> Float[Tensor, "B {height} {width} 3"]:
    """Return unit directions in world coordinates through each pixel's centre; row 0 is the top of the image."""
    focal = 0.5 * height / torch.tan(0.5 * fov_y_rad)
    rows = torch.arange(height, device=c2w.device, dtype=c2w.dtype) + 0.5
    columns = torch.arange(width, device=c2w.device, dtype=c2w.dtype) + 0.5
    y, x = torch.meshgrid(0.5 * height - rows, columns - 0.5 * width, indexing="ij")
    scaled = torch.stack([x, y], dim=-1)[None] / focal[:, None, None, None]
    local = torch.cat([scaled, -torch.ones_like(scaled[..., :1])], dim=-1)
    world = torch.einsum("bij,bhwj->bhwi", c2w[:, :3, :3], local)
    return torch.nn.functional.normalize(world, dim=-1)


def unit_distance(c2w: Float[Tensor, "B 4 4"]) -> Float[Tensor, "B 4 4"]:
    """Return the poses moved along the ray from the origin to distance 1, as MVDream is told them (Shi et al. 2023)."""
    moved = c2w.clone()
    moved[:, :3, 3] = torch.nn.functional.normalize(c2w[:, :3, 3], dim=-1, eps=1e-8)
    return moved
