"""View source of a photo and its camera."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.types import Cameras, Reference, to_device
from bozzetto_plugins.view_source.config import SingleImageConfig
from bozzetto_plugins.view_source.photo import load_photo


class SingleImage:
    """One fixed camera that looks at the origin, with the photo as `reference`.

    Raises:
        ConfigError: the photo cannot be used.
    """

    def __init__(self, config: SingleImageConfig) -> None:
        self.config = config
        self.elevation_deg = None if config.elevation_deg == "estimate" else config.elevation_deg
        """Elevation of the camera, degrees; None until it is estimated."""
        photo = load_photo(config)
        self.image, self.mask = torch.from_numpy(photo.image), torch.from_numpy(photo.mask)
        self.depth = None if photo.depth is None else torch.from_numpy(photo.depth)
        self.normal = None if photo.normal is None else torch.from_numpy(photo.normal)
        self.notices = photo.notices
        """Notices of ambiguous inputs of the photo."""

    def reference(self, device: torch.device) -> Reference:
        """Return the photo and its camera."""
        height, width, _ = self.mask.shape
        camera = self._cameras(height, width, device)
        return to_device(Reference(self.image, self.mask, camera, self.depth, self.normal), device)

    def sample(self, step: int, generator: torch.Generator) -> Cameras:
        """Return the photo's camera at the resolution of the step; draws no random numbers."""
        height, width = self.config.size_at(step)
        return self._cameras(height, width, generator.device)

    def eval_cameras(self, count: int, device: torch.device) -> Cameras:
        """Return `count` evenly spaced cameras around the object, at the photo's distance, azimuth 0 first."""
        config = self.config
        azimuth_deg = 360.0 / count * torch.arange(count, device=device, dtype=torch.float32)
        return self._look(azimuth_deg, config.eval_elevation_deg, config.eval_height, config.eval_width)

    def _cameras(self, height: int, width: int, device: torch.device) -> Cameras:
        if self.elevation_deg is None:
            raise RuntimeError("the photo's elevation is requested before it has been estimated")
        azimuth_deg = torch.full((1,), self.config.azimuth_deg, device=device)
        return self._look(azimuth_deg, self.elevation_deg, height, width)

    def _look(self, azimuth_deg: Float[Tensor, "B"], elevation_deg: float, height: int, width: int) -> Cameras:
        distance = torch.full_like(azimuth_deg, self.config.distance)
        position = spherical_position(azimuth_deg, torch.full_like(azimuth_deg, elevation_deg), distance)
        fov_y_rad = torch.full_like(azimuth_deg, math.radians(self.config.fov_y_deg))
        return Cameras(look_at_origin(position), fov_y_rad, height, width)
