"""Projection of Gaussians to the image plane: centres and covariances."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from bozzetto.types import Cameras
from jaxtyping import Float
from torch import Tensor

from bozzetto_gsplat.cloud import Cloud

NEAR = 0.01
"""Near plane, world units; Gaussians closer to the camera plane are not rendered."""
BLUR = 0.3
"""Low-pass filter: squared pixels added to every covariance (3D Gaussian splatting, reference code)."""
MARGIN = 1.3
"""Clamp of the Jacobian's slopes, as a multiple of the half image; it grows without bound beside the camera."""


@dataclass(frozen=True)
class Projected:
    """N Gaussians projected to one camera."""

    middle: Float[Tensor, "N 2"]
    """Column and row of the centre, pixels; the first pixel's centre is (0.5, 0.5)."""
    covariance: Float[Tensor, "N 3"]
    """2D covariance, squared pixels: column-column, column-row, row-row."""
    depth: Float[Tensor, "N"]
    """Depth along the view axis, world units; negative behind the camera."""


def focal_px(cameras: Cameras) -> Float[Tensor, "B"]:
    """Return the focal length in pixels, equal along rows and columns."""
    return 0.5 * cameras.height / torch.tan(0.5 * cameras.fov_y_rad)


def depths(cloud: Cloud, cameras: Cameras) -> Float[Tensor, "B N"]:
    """Return the depth of each centre along the view axis, world units."""
    forward = -cameras.c2w[:, :3, 2]
    return ((cloud.position[None] - cameras.position[:, None]) * forward[:, None]).sum(dim=-1)


def project(cloud: Cloud, camera: Cameras) -> Projected:
    """Project by the local affine approximation of Zwicker et al. 2001 (EWA splatting), eq. 29: J W C W^T J^T.

    Args:
        camera: one view.
    """
    rotation, focal = camera.c2w[0, :3, :3], focal_px(camera)[0]
    own = (cloud.position - camera.position[0]) @ rotation  # x right, y up, looking along -z
    x, y, depth = own[:, 0], own[:, 1], -own[:, 2]
    safe = torch.where(depth > NEAR, depth, NEAR)
    middle = torch.stack([0.5 * camera.width + focal * x / safe, 0.5 * camera.height - focal * y / safe], dim=-1)
    half_x, half_y = (0.5 * MARGIN * pixels / focal for pixels in (camera.width, camera.height))
    slope_x = (x / safe).clamp(-half_x, half_x)
    slope_y = (y / safe).clamp(-half_y, half_y)
    nothing = torch.zeros_like(safe)
    jacobian = torch.stack(
        [
            torch.stack([torch.ones_like(safe), nothing, slope_x], dim=-1),
            torch.stack([nothing, -torch.ones_like(safe), -slope_y], dim=-1),
        ],
        dim=-2,
    ) * (focal / safe)[:, None, None]  # fmt: skip
    axes = jacobian @ (rotation.T @ (cloud.rotation * cloud.scale[:, None]))
    square = axes @ axes.mT
    covariance = torch.stack([square[:, 0, 0] + BLUR, square[:, 0, 1], square[:, 1, 1] + BLUR], dim=-1)
    return Projected(middle, covariance, depth)
