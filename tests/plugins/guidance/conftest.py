"""Tiny models, written once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bozzetto.testing.fakes import tiny_stable_diffusion, tiny_zero123
from bozzetto.types import Cameras

BALLS = (((0.5, 0.1, -0.4), (0.9, 0.1, 0.1)), ((-0.3, -0.5, 0.0), (0.1, 0.7, 0.2)), ((-0.2, 0.4, 0.5), (0.1, 0.2, 0.9)))
"""Centre and colour of each; one is behind another from most sides."""
BALL_RADIUS = 0.35


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_folder(prediction_type="v_prediction", ...)`: the folder of such a model; read it, never write to it."""
    made: dict[str, Path] = {}

    def folder(**options: object) -> Path:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = tiny_stable_diffusion(tmp_path_factory.mktemp("tiny"), **options)
        return made[key]

    return folder


@pytest.fixture(scope="session")
def zero123_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Zero123; read it, never write to it."""
    return tiny_zero123(tmp_path_factory.mktemp("zero123") / "model")


@pytest.fixture(scope="session")
def photograph_balls() -> Callable[[Cameras], Tensor]:
    """`photograph_balls(cameras)`: pictures "V H W 3" of three coloured balls over white."""

    def pictures(cameras: Cameras) -> Tensor:
        rays = cameras.rays()
        nearest = torch.full((len(rays.origin),), float("inf"))
        colours = torch.ones(len(rays.origin), 3)
        for centre, colour in BALLS:
            to_ray = rays.origin - torch.tensor(centre)
            along = (to_ray * rays.direction).sum(-1)
            inside = along.square() - to_ray.square().sum(-1) + BALL_RADIUS**2
            distance = -along - inside.clamp(min=0.0).sqrt()
            hit = (inside > 0.0) & (distance < nearest)
            nearest, colours[hit] = torch.where(hit, distance, nearest), torch.tensor(colour)
        return colours.view(len(cameras), cameras.height, cameras.width, 3)

    return pictures
