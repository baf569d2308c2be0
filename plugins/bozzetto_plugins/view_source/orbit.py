"""View source of random cameras around the origin."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.cameras import look_at, look_at_origin, spherical_position
from bozzetto.math.constants import constant
from bozzetto.math.view_sampling import (
    Range,
    distance_of_frame,
    grown_range,
    mixed_elevation_deg,
    rings,
    stratified,
    uniform,
)
from bozzetto.types import Cameras
from bozzetto_plugins.view_source.config import OrbitConfig


class Orbit:
    """Random cameras that look at the origin; `OrbitConfig` documents every distribution.

    What is drawn per view is drawn per group of views if there are groups, in the same order.
    The records contain only the jittered camera matrix, from which angles and distance are derived.
    """

    def __init__(self, config: OrbitConfig) -> None:
        self.config = config

    def sample(self, step: int, generator: torch.Generator) -> Cameras:
        """Draw the training cameras of one step, on the generator's device."""
        config = self.config
        views, height, width = config.size_at(step)
        each = config.views_per_group
        count = views // each
        azimuth_deg = self._azimuth_deg(step, count, generator)
        elevation_deg = mixed_elevation_deg(
            self._range("elevation_deg", step), count, config.sphere_uniform_rate, generator
        )
        fovs = count if config.fov_per_view else 1
        fov_y_rad = torch.deg2rad(uniform(self._range("fov_y_deg", step), fovs, generator)).expand(count)
        distance = uniform(self._range("distance", step), count, generator)
        if config.relative_distance:
            distance = distance_of_frame(distance, fov_y_rad)
        elevation_deg, distance, fov_y_rad = (
            value.repeat_interleave(each) for value in (elevation_deg, distance, fov_y_rad)
        )
        position = spherical_position(azimuth_deg, elevation_deg, distance)
        return Cameras(self._look_from(position, generator), fov_y_rad, height, width, each)

    def _azimuth_deg(self, step: int, count: int, generator: torch.Generator) -> Float[Tensor, "B"]:
        """Draw the azimuths of `count` groups, degrees."""
        bounds, each = self._range("azimuth_deg", step), self.config.views_per_group
        if each > 1:
            return rings(bounds, count, each, generator)
        draw = stratified if self.config.stratified_azimuth else uniform
        return draw(bounds, count, generator)

    def eval_cameras(self, count: int, device: torch.device) -> Cameras:
        """Return `count` evenly spaced cameras around the object at the evaluation view, azimuth 0 first."""
        config = self.config
        azimuth_deg = 360.0 / count * torch.arange(count, device=device, dtype=torch.float32)
        elevation_deg = torch.full_like(azimuth_deg, config.eval_elevation_deg)
        position = spherical_position(azimuth_deg, elevation_deg, torch.full_like(azimuth_deg, config.eval_distance))
        fov_y_rad = torch.full_like(azimuth_deg, math.radians(config.eval_fov_y_deg))
        return Cameras(look_at_origin(position), fov_y_rad, config.eval_height, config.eval_width)

    def _look_from(self, position: Float[Tensor, "B 3"], generator: torch.Generator) -> Float[Tensor, "B 4 4"]:
        """Return camera matrices that look at the origin, with the three jitters applied."""
        config, each = self.config, self.config.views_per_group
        shape = (len(position) // each, 3)
        target = torch.zeros_like(position)
        up = constant((0.0, 0.0, 1.0), position.device, position.dtype).expand_as(position)
        if config.position_jitter > 0.0:
            shift = 2.0 * torch.rand(shape, generator=generator, device=generator.device) - 1.0
            position = position + config.position_jitter * shift.repeat_interleave(each, dim=0)
        if config.target_jitter_std > 0.0:
            shift = torch.randn(shape, generator=generator, device=generator.device)
            target = config.target_jitter_std * shift.repeat_interleave(each, dim=0)
        if config.up_jitter_std > 0.0:
            shift = torch.randn(shape, generator=generator, device=generator.device)
            up = up + config.up_jitter_std * shift.repeat_interleave(each, dim=0)
        return look_at(position, target, up)

    def _range(self, name: str, step: int) -> Range:
        """Return the range of a quantity at a step; progressive ranges grow from the evaluation view."""
        config = self.config
        bounds: Range = getattr(config, name)
        if step >= config.progressive_until_step:
            return bounds
        tangent = math.tan(0.5 * math.radians(config.eval_fov_y_deg))
        center = {
            "azimuth_deg": 0.0,
            "elevation_deg": config.eval_elevation_deg,
            "fov_y_deg": config.eval_fov_y_deg,
            "distance": config.eval_distance * (tangent if config.relative_distance else 1.0),
        }
        return grown_range(center[name], bounds, step / config.progressive_until_step)
