"""Validation images of a stage, and debug images of its guidance."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from bozzetto.engine.loggers import Logger
from bozzetto.engine.system import System
from bozzetto.files import slug, write_atomically
from bozzetto.math.map_pictures import normal_picture
from bozzetto.recipe import TrainerConfig
from bozzetto.types import Rendered

FIRST_PICTURE_S = 2.0
"""Seconds from the start of a run's first step to its first validation image, whatever `image_every` is."""


class Pictures:
    """Writes validation images around the scene, and debug images of the guidance.

    Args:
        logger: receives the validation images.
        now: clock in seconds.
    """

    def __init__(
        self, folder: Path, stage: str, config: TrainerConfig, logger: Logger, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self.stage, self.config, self.logger, self.now = folder, stage, config, logger, now
        first = config.image_every and not any(folder.glob("*-[0-9]*.png"))
        self.first_due = now() + FIRST_PICTURE_S if first else math.inf
        """Time at which the first image is due."""

    def after_step(self, done: int, system: System) -> None:
        """Write the images that are due after a step, and drop what the guidance has kept for them."""
        config = self.config
        regular = config.image_every and (done % config.image_every == 0 or done == config.steps)
        if regular or self.now() >= self.first_due:
            self.first_due = math.inf
            pixels = pixels_of(picture_grid(render_views(system, config.image_views)))
            save_pixels(self.folder / f"{self.stage}-{done:06d}.png", pixels)
            self.logger.picture("validation", pixels, done)
        if config.debug_every and done % config.debug_every == 0:
            for task, name, image in guidance_pictures(system):
                save_picture(self.folder / f"{self.stage}-{done:06d}-{task}-{slug(name)}.png", image)
        system.results = {}

    def close(self) -> None:
        """Do nothing: every file is complete."""


def guidance_pictures(system: System) -> Iterator[tuple[str, str, torch.Tensor]]:
    """Yield task, name and "H W 3" of each debug image of the latest step's guidance, its views side by side."""
    for task, guided in system.results.items():
        for name, images in (guided.debug() if guided.debug else {}).items():
            yield task, name, torch.cat(list(images), dim=1)


@torch.no_grad()
def render_views(system: System, count: int) -> Rendered:
    """Render the scene from `count` evaluation cameras."""
    scene = system.scene
    return scene.render(scene.views.eval_cameras(count, scene.device), normal=True)


def picture_grid(rendered: Rendered) -> torch.Tensor:
    """Arrange colour above normals above opacity, views side by side: "H W 3" in [0, 1]."""
    rows = [rendered.image[..., :3], rendered.opacity.expand(-1, -1, -1, 3)]
    if rendered.normal is not None:
        rows.insert(1, normal_picture(rendered.normal, rendered.opacity))
    return torch.cat([torch.cat(list(row), dim=1) for row in rows], dim=0)


def save_picture(path: Path, image: torch.Tensor) -> None:
    """Write "H W 3" in [0, 1] as a PNG."""
    save_pixels(path, pixels_of(image))


def pixels_of(image: torch.Tensor) -> UInt8[np.ndarray, "H W 3"]:
    """Convert "H W 3" in [0, 1] to bytes."""
    pixels: np.ndarray = (image.detach().clamp(0, 1).cpu().numpy() * 255).round().astype(np.uint8)
    return pixels


def save_pixels(path: Path, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write a PNG."""
    write_atomically(path, lambda temporary: Image.fromarray(pixels).save(temporary))
