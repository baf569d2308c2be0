"""Scenes shared by the tests."""

from __future__ import annotations

import math

import pytest
import torch
from bozzetto.math.cameras import look_at_origin
from bozzetto.types import Cameras
from torch.nn.functional import normalize

from bozzetto_gsplat.cloud import Cloud
from bozzetto_gsplat.config import GaussiansConfig
from bozzetto_gsplat.gaussians import Gaussians


class Scenes:
    """Factory of geometries, clouds and cameras."""

    @staticmethod
    def ball(count: int = 2000, width: float = 0.035, thickness: float = 0.004, opacity: float = 0.5) -> Gaussians:
        """Return a ball of radius 1/2 tiled with flat discs whose thin axes point outward."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            geometry = Gaussians(GaussiansConfig(count=count))
        number = torch.arange(count) + 0.5
        height, azimuth = 1.0 - 2.0 * number / count, number * math.pi * (3.0 - math.sqrt(5.0))
        around = (1.0 - height.square()).sqrt()
        outward = torch.stack([around * azimuth.cos(), around * azimuth.sin(), height], dim=-1)
        half_way = torch.stack([1.0 + outward[:, 2], -outward[:, 1], outward[:, 0], torch.zeros(count)], dim=-1)
        with torch.no_grad():
            geometry.position.copy_(0.5 * outward)
            geometry.quaternion.copy_(normalize(half_way, dim=-1))  # shortest rotation from z to `outward`
            geometry.log_scale.copy_(torch.tensor([width, width, thickness]).log().expand(count, 3))
            geometry.opacity_logit.fill_(math.log(opacity / (1.0 - opacity)))
            geometry.feature.copy_(torch.tensor([1.0, 0.0, -1.0]).expand(count, 3))
        return geometry

    @staticmethod
    def cloud(count: int = 40, seed: int = 0) -> Cloud:
        """Return overlapping Gaussians of random shapes and orientations."""
        draw = torch.Generator().manual_seed(seed)
        return Cloud(
            position=0.3 * torch.randn(count, 3, generator=draw),
            scale=0.02 + 0.15 * torch.rand(count, 3, generator=draw),
            quaternion=normalize(torch.randn(count, 4, generator=draw), dim=-1),
            opacity=0.1 + 0.85 * torch.rand(count, generator=draw),
            features=torch.randn(count, 3, generator=draw),
        )

    @staticmethod
    def round_cloud(position: list[list[float]], scale: list[float], opacity: list[float]) -> Cloud:
        """Return isotropic Gaussians, one per entry."""
        count = len(position)
        return Cloud(
            torch.tensor(position),
            torch.tensor(scale)[:, None].expand(count, 3),
            torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(count, 4),
            torch.tensor(opacity),
            torch.zeros(count, 3),
        )

    @staticmethod
    def camera(distance: float = 4.0, height: int = 21, width: int = 21, fov_y_rad: float = 0.5) -> Cameras:
        """Return a camera on +x that looks at the origin: +y is right in the image, +z is up."""
        position = torch.tensor([[distance, 0.0, 0.0]])
        c2w = look_at_origin(position)
        return Cameras(c2w, torch.tensor([fov_y_rad]), height, width)


@pytest.fixture
def scenes() -> Scenes:
    return Scenes()
