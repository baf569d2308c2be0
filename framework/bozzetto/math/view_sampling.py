"""Distributions of camera angles and distances. Pure: the generator determines the numbers and the device."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = [
    "Range",
    "bernoulli",
    "distance_of_frame",
    "grown_range",
    "mixed_elevation_deg",
    "rings",
    "sphere_uniform_elevation_deg",
    "stratified",
    "uniform",
]

Range = tuple[float, float]


def uniform(bounds: Range, count: int, generator: torch.Generator) -> Float[Tensor, "{count}"]:
    """Sample `count` independent numbers, uniform in [low, high)."""
    low, high = bounds
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def stratified(bounds: Range, count: int, generator: torch.Generator) -> Float[Tensor, "{count}"]:
    """Sample one uniform number in each of `count` equal parts of [low, high), in ascending order."""
    low, high = bounds
    part = torch.arange(count, device=generator.device)
    return low + (high - low) * (part + torch.rand(count, generator=generator, device=generator.device)) / count


def rings(bounds: Range, groups: int, views: int, generator: torch.Generator) -> Float[Tensor, "{groups*views}"]:
    """Sample groups of `views` numbers (high - low) / views apart: `low + (u + i) / views (high - low)`.

    One u, uniform in [0, 1), per group, so that a group of azimuths is a regular ring, turned by chance (Shi et al.
    2023, MVDream, sec. 4).
    """
    low, high = bounds
    turn = torch.rand(groups, 1, generator=generator, device=generator.device)
    return (low + (high - low) * (turn + torch.arange(views, device=generator.device)) / views).flatten()


def sphere_uniform_elevation_deg(bounds_deg: Range, count: int, generator: torch.Generator) -> Float[Tensor, "{count}"]:
    """Sample elevations uniform on the sphere's zone between two elevations: e = asin(U[sin low, sin high]).

    A zone's area is proportional to its height (Archimedes), so the sine of the elevation is uniform.
    """
    low, high = (math.sin(math.radians(bound)) for bound in bounds_deg)
    return torch.rad2deg(torch.asin(uniform((low, high), count, generator).clamp(-1.0, 1.0)))


def mixed_elevation_deg(
    bounds_deg: Range, count: int, sphere_uniform_rate: float, generator: torch.Generator
) -> Float[Tensor, "{count}"]:
    """Sample elevations, each uniform on the sphere with probability `sphere_uniform_rate`, else uniform in angle."""
    chosen = bernoulli(sphere_uniform_rate, count, generator)
    on_sphere = sphere_uniform_elevation_deg(bounds_deg, count, generator)
    return torch.where(chosen, on_sphere, uniform(bounds_deg, count, generator))


def bernoulli(probability: float, count: int, generator: torch.Generator) -> Bool[Tensor, "{count}"]:
    """Sample `count` independent booleans, each true with `probability`."""
    return torch.rand(count, generator=generator, device=generator.device) < probability


def grown_range(center: float, bounds: Range, ratio: float) -> Range:
    """Return a range that is the point `center` at ratio 0 and `bounds` at ratio 1, each end moving linearly."""
    low, high = bounds
    return center + ratio * (low - center), center + ratio * (high - center)


def distance_of_frame(half_height: Float[Tensor, "B"], fov_y_rad: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """Return the distance, half_height / tan(fov_y / 2), at which the image is 2 `half_height` tall at the target.

    MVDream (Shi et al. 2023) samples cameras in this way: a narrow field of view is farther away and the object keeps
    its size in the image.
    """
    return half_height / torch.tan(0.5 * fov_y_rad)
