"""Noise that is the same whenever a camera returns: windows on maps of noise that are functions of seeds alone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from bozzetto.math.seeds import seed_at
from bozzetto.math.world_map import blend_at, map_size, read_windows
from bozzetto.types import Cameras, Rendered
from bozzetto_plugins.score.axes import NoiseConfig

BACKGROUND = 1
"""Part of the seed of the noise behind the object; the world map has none."""
KEPT = 4
"""Maps of a step: two epochs, of the world map and of the noise behind the object."""

Maps = list[tuple[Float[Tensor, "C rows columns"], float]]
"""Maps that are blended, with their weights."""


class ConsistentNoise:
    """Noise of the views of a run (Flow Score Distillation, Yan et al. 2024). It draws from no generator of the run.

    Maps are drawn on the CPU, so that every device has the same. Those of the latest step are kept, to save time only:
    the noise is a function of seeds, step, cameras and opacity.

    Args:
        run_seed: seed of the run.
    """

    def __init__(self, run_seed: int = 0) -> None:
        self.run_seed = run_seed
        self._kept: dict[tuple[int, tuple[int, ...], torch.device], Tensor] = {}

    def __call__(
        self, config: NoiseConfig, cameras: Cameras, rendered: Rendered, like: Float[Tensor, "B C h w"], step: int
    ) -> Float[Tensor, "B C h w"]:
        """Return unit noise of the shape of `like`: its window on the world map, and another noise behind the object.

        Views of a step share the maps, so cameras at the same angles have the same noise where both see the object.
        """
        _, channels, height, width = like.shape
        size = map_size(height, width, config.window_deg)
        azimuth, elevation = cameras.azimuth_deg, cameras.elevation_deg
        world = self._maps(config, (channels, *size), like.device, step)
        noise = blended([(read_windows(cells, azimuth, elevation, height, width), weight) for cells, weight in world])
        if config.background_opacity == 0.0:
            return noise
        behind = blended(self._maps(config, (channels, height, width), like.device, step, BACKGROUND))
        opacity = adaptive_avg_pool2d(rendered.opacity.detach().permute(0, 3, 1, 2), (height, width))
        return torch.where(opacity < config.background_opacity, behind, noise)

    def _maps(
        self, config: NoiseConfig, shape: tuple[int, int, int], device: torch.device, step: int, *part: int
    ) -> Maps:
        blend = blend_at(step, config.refresh_steps)
        weights = {blend.epoch: blend.now, blend.epoch + 1: blend.next}
        seeds = {epoch: seed_at(self.run_seed, epoch, config.seed, *part) for epoch in weights}
        return [(self._drawn(seeds[epoch], shape, device), weight) for epoch, weight in weights.items() if weight > 0.0]

    def _drawn(
        self, seed: int, shape: tuple[int, int, int], device: torch.device
    ) -> Float[Tensor, "C rows columns"]:  # fmt: skip
        key = (seed, shape, device)
        cells = self._kept.pop(key, None)
        if cells is None:
            generator = torch.Generator().manual_seed(seed)
            cells = torch.randn(shape, generator=generator, device=generator.device).to(device)
        self._kept[key] = cells  # the latest used is the last
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return cells


def blended(parts: list[tuple[Tensor, float]]) -> Tensor:
    """Return the weighted sum of tensors of one shape."""
    return torch.stack([weight * each for each, weight in parts]).sum(dim=0)
