"""Relative camera poses as read by view-conditioned diffusion models (Zero123)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["PoseConvention", "angle_between_deg", "nearness", "relative_pose"]

PoseConvention = Literal["zero123", "stable-zero123"]


def relative_pose(
    target: Float[Tensor, "B 3"], reference: Float[Tensor, "B 3"], convention: PoseConvention = "zero123"
) -> Float[Tensor, "B 4"]:
    """Return the pose of `target` relative to `reference`: (theta_t - theta_r, sin dphi, cos dphi, fourth).

    theta is the polar angle 90 - elevation in radians, dphi the azimuth of the target minus that of the reference: a
    target further along +y from +x has a positive sine. The fourth number is the distance of the target minus that of
    the reference (`zero123`: Liu et al. 2023, Zero-1-to-3, sec. 3.2, and its published training code), or the polar
    angle of the reference in radians (`stable-zero123`: as in Stable Zero123's published code).

    Args:
        target: azimuth and elevation in degrees and distance in world units, of each camera.
        reference: azimuth, elevation and distance of the reference cameras, in the same units.
    """
    polar, polar_of_reference = torch.deg2rad(90.0 - target[:, 1]), torch.deg2rad(90.0 - reference[:, 1])
    turned = torch.deg2rad(target[:, 0] - reference[:, 0])
    fourth = target[:, 2] - reference[:, 2] if convention == "zero123" else polar_of_reference
    return torch.stack([polar - polar_of_reference, torch.sin(turned), torch.cos(turned), fourth], dim=-1)


def angle_between_deg(a: Float[Tensor, "B 3"], b: Float[Tensor, "B 3"]) -> Float[Tensor, "B"]:
    """Return the angle between the directions of two points from the origin, in [0, 180]; accurate for small angles."""
    across = torch.linalg.cross(a, b).norm(dim=-1)
    return torch.rad2deg(torch.atan2(across, (a * b).sum(dim=-1)))


def nearness(angle_deg: Float[Tensor, "K B"]) -> Float[Tensor, "K B"]:
    """Return weights of K references for each view, inverse to the angle between them, with sum 1.

    Angles below 1 degree count as 1. Source: stable-dreamfusion.
    """
    inverse = 1.0 / angle_deg.clamp(min=1.0)
    return inverse / inverse.sum(dim=0)
