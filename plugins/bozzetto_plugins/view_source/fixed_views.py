"""View source of a fixed set of cameras around the origin."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.math.constants import constant
from bozzetto.types import Cameras
from bozzetto_plugins.view_source.config import FixedViewsConfig


class FixedViews:
    """Cameras on rings around the origin, always the same; each step draws some of them, all different.

    Implements `bozzetto.kinds.view_source.FixedViews`.
    """

    def __init__(self, config: FixedViewsConfig) -> None:
        self.config = config

    def every_camera(self, device: torch.device) -> Cameras:
        """Return all cameras, ring by ring from the first elevation; each ring begins a little further around."""
        config, rings = self.config, len(self.config.elevation_deg)
        number = torch.arange(config.views_per_ring * rings, device=device)
        ring = torch.div(number, config.views_per_ring, rounding_mode="floor")
        spacing_deg = 360.0 / config.views_per_ring
        azimuth_deg = spacing_deg * ((number % config.views_per_ring).float() + ring.float() / rings)
        elevation_deg = constant(config.elevation_deg, device)[ring]
        return self._look(azimuth_deg, elevation_deg, config.height, config.width)

    def sample(self, step: int, generator: torch.Generator) -> Cameras:
        """Draw the training cameras of one step, on the generator's device."""
        every = self.every_camera(generator.device)
        order = torch.randperm(len(every), generator=generator, device=generator.device)[: self.config.batch_size]
        return Cameras(every.c2w[order], every.fov_y_rad[order], every.height, every.width)

    def eval_cameras(self, count: int, device: torch.device) -> Cameras:
        """Return `count` evenly spaced cameras around the object at the evaluation view, azimuth 0 first."""
        config = self.config
        azimuth_deg = 360.0 / count * torch.arange(count, device=device, dtype=torch.float32)
        elevation_deg = torch.full_like(azimuth_deg, config.eval_elevation_deg)
        return self._look(azimuth_deg, elevation_deg, config.eval_height, config.eval_width)

    def _look(self, azimuth_deg: Tensor, elevation_deg: Tensor, height: int, width: int) -> Cameras:
        distance = torch.full_like(azimuth_deg, self.config.distance)
        position = spherical_position(azimuth_deg, elevation_deg, distance)
        fov_y_rad = torch.full_like(azimuth_deg, math.radians(self.config.fov_y_deg))
        return Cameras(look_at_origin(position), fov_y_rad, height, width)
