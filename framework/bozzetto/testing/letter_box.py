"""Test object with an unambiguous pose: a white box with a black letter F on its front and a green back."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bozzetto.testing.scenes import SoftSphere
from bozzetto.types import FieldOutput

__all__ = ["CELL", "CENTER", "HALF", "LETTER", "LetterBox", "cell_centers", "on_letter"]

LETTER = ("###", "#..", "##.", "#..", "#..")
"""Rows from the top, as seen from the front; F is neither mirror-symmetric nor symmetric under rotation."""
CELL = 0.2
"""Side of the letter's squares, world units."""
CENTER = (0.1, 0.05, -0.1)
"""Centre of the box."""
HALF = (0.25, 0.4, 0.6)
"""Half sides of the box along x (the front is +x), y (to the right as seen from the front) and z (up)."""
STRONG = 8.0
"""Feature that `PlainMaterial` maps to almost white; its negative maps to almost black."""


class LetterBox(SoftSphere):
    """Geometry for `PlainMaterial`: features are plus or minus `STRONG` for red, green and blue."""

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        outside = (points - points.new_tensor(CENTER)).abs() - points.new_tensor(HALF)
        return torch.exp(self.log_density) * torch.sigmoid(-outside.amax(-1) / self.softness)

    def forward(self, points: Float[Tensor, "S 3"], normal: bool = False) -> FieldOutput:
        x, y, z = (points - points.new_tensor(CENTER)).unbind(-1)
        black = (x > 0.0) & on_letter(y, z)
        white, green = STRONG * points.new_tensor([1.0, 1.0, 1.0]), STRONG * points.new_tensor([-1.0, 1.0, -1.0])
        front = torch.where(black[:, None], -white, white)
        return FieldOutput(torch.where((x < 0.0)[:, None], green, front), density=self.density(points))


def on_letter(right: Float[Tensor, "S"], up: Float[Tensor, "S"]) -> Bool[Tensor, "S"]:
    """Return whether points of the front, relative to its centre, are black."""
    letter = torch.tensor([[mark == "#" for mark in row] for row in LETTER], device=right.device)
    rows, columns = letter.shape
    column, row = (right / CELL + 0.5 * columns).floor().long(), (0.5 * rows - up / CELL).floor().long()
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    return inside & letter[row.clamp(0, rows - 1), column.clamp(0, columns - 1)]


def cell_centers() -> list[tuple[float, float]]:
    """Return (right, up) of the centre of each square, relative to the centre of the front, row by row from the top."""
    rows, columns = len(LETTER), len(LETTER[0])
    return [
        ((column + 0.5 - 0.5 * columns) * CELL, (0.5 * rows - 0.5 - row) * CELL)
        for row in range(rows)
        for column in range(columns)
    ]
