"""Diffuse shading and light positions. Random numbers are arguments."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from bozzetto.math.constants import constant

__all__ = ["lambert", "light_in_cone", "light_near_camera", "normal_color"]


def lambert(
    normal: Float[Tensor, "S 3"],
    toward_light: Float[Tensor, "S 3"],
    ambient: Float[Tensor, "S 3"],
    diffuse: Float[Tensor, "S 3"],
) -> Float[Tensor, "S 3"]:
    """Compute the light reflected by a white surface: ambient + diffuse * max(0, n.l), per colour channel.

    `normal` and `toward_light` have unit length. Multiplied by the albedo it is the shaded colour; without,
    DreamFusion's "textureless" shading. Source: DreamFusion, sec. 3.1, the shading equation.
    """
    cosine = (normal * toward_light).sum(dim=-1, keepdim=True)
    return ambient + diffuse * cosine.clamp(min=0.0)


def normal_color(normal: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 3"]:
    """Convert a unit normal to a colour in [0, 1]: (n + 1) / 2."""
    return 0.5 * (normal + 1.0)


def light_near_camera(position: Float[Tensor, "B 3"], noise: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3"]:
    """Return unit directions from the origin toward a light near the camera: normalize(position + noise).

    DreamFusion, app. A.2, with `noise` standard normal; the point light is at a distance along this direction.
    """
    return normalize(position + noise, dim=-1)


def light_in_cone(
    position: Float[Tensor, "B 3"], turn: Float[Tensor, "B"], tilt: Float[Tensor, "B"]
) -> Float[Tensor, "B 3"]:
    """Return unit directions toward a light at most 60 degrees from the camera's, as in Magic3D's implementation.

    Args:
        position: camera positions in world coordinates.
        turn: in [0, 1], the angle around the camera's direction, a full turn.
        tilt: in [0, 1], 1 at the camera's direction, 0 at 60 degrees from it.
    """
    forward = normalize(position, dim=-1)
    # Any frame around `forward` will do, since `turn` covers the whole circle; this one has no pole on the z axis.
    x_axis, z_axis = (constant(axis, forward.device, forward.dtype) for axis in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))
    helper = torch.where(forward[:, 2:].abs() < 0.9, z_axis, x_axis)
    right = normalize(torch.linalg.cross(helper, forward), dim=-1)
    up: Tensor = torch.linalg.cross(forward, right)
    azimuth = 2.0 * math.pi * turn[:, None]
    elevation = math.pi / 6.0 + math.pi / 3.0 * tilt[:, None]
    return (
        torch.cos(elevation) * (torch.cos(azimuth) * right + torch.sin(azimuth) * up) + torch.sin(elevation) * forward
    )
