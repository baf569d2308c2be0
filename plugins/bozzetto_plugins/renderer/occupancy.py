"""Which cells of the scene's cube may hold something."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bozzetto.errors import NonFiniteError
from bozzetto.kinds.geometry import Geometry

CHUNK = 65536
"""Cells looked at together: bounds memory; smaller is slower, larger no faster."""

TURNS = 4
"""After the warm-up, every empty cell is looked at once in this many updates."""


UNSEEN = 1e-3
"""A scene has vanished when its densest cell, were all the cube as dense, absorbed less than this share of light."""


class OccupancyGrid(nn.Module):
    """A running maximum of density per cell, and a bit per cell: above the threshold or not.

    Source: Instant-NGP, app. C, with the threshold min(mean, threshold) of its implementation. Everything is occupied
    until the first update. Of a scene that has vanished one cell in eight is taken as occupied, at each update another:
    it can recover anywhere, and costs no more than a scene that is there.

    Args:
        resolution: cells along each side.
        radius: the grid spans [-radius, radius]^3, world units.
        threshold: density per world unit below which a cell is empty.
        decay: share of the old maximum kept at each look.
    """

    density: Float[Tensor, "G G G"]
    occupied: Bool[Tensor, "G G G"]

    def __init__(self, resolution: int, radius: float, threshold: float, decay: float) -> None:
        super().__init__()
        self.resolution, self.radius, self.threshold, self.decay = resolution, radius, threshold, decay
        self.vanished = False
        """True if nothing could be seen of the scene at the last update."""
        cells = (resolution, resolution, resolution)
        self.register_buffer("density", torch.zeros(cells))
        self.register_buffer("occupied", torch.ones(cells, dtype=torch.bool))

    @torch.no_grad()
    def update(self, geometry: Geometry, generator: torch.Generator, turn: int | None = None) -> None:
        """Look at one random point in each cell; with `turn`, only in the occupied and one of `TURNS` sets of others.

        Raises:
            NonFiniteError: the geometry's density is.
        """
        known = self.density.view(-1)
        for cells in self._cells(turn).split(CHUNK):
            density = geometry.density(self._points(cells, generator))
            if not torch.isfinite(density).all():
                raise NonFiniteError(f"geometry {type(geometry).__name__} gave a density that is not finite")
            known[cells] = torch.maximum(known[cells] * self.decay, density.to(known.dtype))
        longest = 2.0 * math.sqrt(3.0) * self.radius
        self.vanished = float(known.max()) * longest < UNSEEN
        if self.vanished:
            self.occupied.copy_(self._spread(turn or 0))
            return
        threshold = known.mean().clamp(max=self.threshold)
        self.occupied.copy_(self.density > threshold)
        self.occupied.logical_or_(~self.occupied.any())  # a fog as dense everywhere

    def _spread(self, turn: int) -> Bool[Tensor, "G G G"]:
        """One cell of each block of 2 x 2 x 2, another one in each turn; all cells in eight."""
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
