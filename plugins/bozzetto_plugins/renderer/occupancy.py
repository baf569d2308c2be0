"""Occupancy grid: which cells of the scene's cube may contain density."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bozzetto.errors import NonFiniteError
from bozzetto.kinds.geometry import Geometry
from bozzetto.readings import require_finite

CHUNK = 65536
"""Cells evaluated per batch; bounds memory. Smaller is slower, larger is no faster."""

TURNS = 4
"""Number of updates after the warm-up in which each empty cell is sampled once."""


UNSEEN = 1e-3
"""Opacity of the densest cell, extended along the cube's diagonal, below which the scene counts as vanished."""


class OccupancyGrid(nn.Module):
    """Running maximum of the density per cell, and a bit per cell that is set if it exceeds a threshold.

    Source: Instant-NGP, app. C, with the threshold min(mean, threshold) of its implementation. All cells are occupied
    until the first update. If the scene has vanished, one cell in eight is marked occupied, a different one at each
    update, so that density can reappear anywhere at the cost of an ordinary scene.

    Args:
        resolution: cells along each side.
        radius: the grid spans [-radius, radius]^3, world units.
        threshold: density per world unit below which a cell is empty.
        decay: factor applied to the old maximum at each update.
    """

    density: Float[Tensor, "G G G"]
    occupied: Bool[Tensor, "G G G"]

    def __init__(self, resolution: int, radius: float, threshold: float, decay: float) -> None:
        super().__init__()
        self.resolution, self.radius, self.threshold, self.decay = resolution, radius, threshold, decay
        cells = (resolution, resolution, resolution)
        self.register_buffer("density", torch.zeros(cells))
        self.register_buffer("occupied", torch.ones(cells, dtype=torch.bool))

    @torch.no_grad()
    def update(
        self, geometry: Geometry, generator: torch.Generator, turn: int | None = None, number: int | None = None
    ) -> Bool[Tensor, ""]:
        """Sample the density at a random point per cell; with `turn`, in occupied and a quarter of other cells only.

        Args:
            number: of the update, which chooses the cells that are marked if the scene has vanished; None: `turn`.

        Returns:
            True, on the grid's device, if the scene has vanished: all densities are negligible, see `UNSEEN`.

        Raises:
            NonFiniteError: the geometry's density is not finite.
        """
        which = number if number is not None else turn or 0
        told = f"geometry {type(geometry).__name__} gave a density that is not finite"
        known = self.density.view(-1)
        for cells in self._cells(turn).split(CHUNK):
            density = geometry.density(self._points(cells, generator))
            require_finite(density, lambda _: NonFiniteError(told))
            known[cells] = torch.maximum(known[cells] * self.decay, density.to(known.dtype))
        longest = 2.0 * math.sqrt(3.0) * self.radius
        vanished: Tensor = known.max() * longest < UNSEEN
        found = self.density > known.mean().clamp(max=self.threshold)
        found = found | ~found.any()  # if the density is uniform, no cell exceeds the mean
        self.occupied.copy_(torch.where(vanished, self._spread(which), found))
        return vanished

    def _spread(self, turn: int) -> Bool[Tensor, "G G G"]:
        """Mark one cell per 2 x 2 x 2 block; eight consecutive turns cover all cells."""
        even = torch.arange(self.resolution, device=self.density.device)
        x, y, z = ((even + (turn >> axis)) % 2 == 0 for axis in range(3))
        return x[:, None, None] & y[None, :, None] & z[None, None, :]

    def _cells(self, turn: int | None) -> Int[Tensor, "N"]:
        numbers = torch.arange(self.density.numel(), device=self.density.device)
        if turn is None:
            return numbers
        return numbers[self.occupied.view(-1) | (numbers % TURNS == turn % TURNS)]

    def _points(self, cells: Int[Tensor, "N"], generator: torch.Generator) -> Float[Tensor, "N 3"]:
        size = self.resolution
        corner = torch.stack([cells // (size * size), cells // size % size, cells % size], dim=-1)
        jitter = torch.rand(len(cells), 3, generator=generator, device=cells.device)
        return (corner + jitter) * (2.0 * self.radius / size) - self.radius
