"""Tetrahedral grid of a cube: the body-centred cubic lattice at any resolution, by index arithmetic.

The vertices are the corners and the centres of N^3 cells. Each square between two cells makes four tetrahedra: the two
centres and one side of the square. All are congruent, with no preferred direction (Labelle and Shewchuk 2007,
"Isosurface stuffing", sec. 3). The layer between the outermost centres and the faces of the cube is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bozzetto.math.constants import constant

__all__ = ["TetrahedralGrid"]


@dataclass(frozen=True)
class TetrahedralGrid:
    """Body-centred cubic lattice over [-1, 1]^3. Vertices: (N + 1)^3 corners, then N^3 centres; both with z fastest."""

    cells: int
    """Cells N along each axis; at least 2."""

    def __post_init__(self) -> None:
        if self.cells < 2:
            raise ValueError(f"cells: must be at least 2, got {self.cells}")

    @property
    def corner_count(self) -> int:
        """Number of cell corners, (N + 1)^3."""
        return (self.cells + 1) ** 3

    @property
    def vertex_count(self) -> int:
        """Number P of vertices: corners and cell centres."""
        return self.corner_count + self.cells**3

    @property
    def cell_size(self) -> float:
        """Side of a cell; the cube's side is 2."""
        return 2.0 / self.cells

    def axes(self, device: torch.device) -> tuple[Float[Tensor, "N1"], Float[Tensor, "N"]]:
        """Return the coordinates of corners, and of centres, along each axis."""
        corners = torch.linspace(-1.0, 1.0, self.cells + 1, device=device)
        return corners, 0.5 * (corners[1:] + corners[:-1])

    def positions(self, device: torch.device) -> Float[Tensor, "P 3"]:
        """Return the vertex positions."""
        return torch.cat([torch.cartesian_prod(axis, axis, axis) for axis in self.axes(device)])

    def outermost(self, device: torch.device) -> Bool[Tensor, "P"]:
        """Mark the corners on the cube's faces and the cell centres behind them; no closed surface contains them."""
        masks = []
        for side in (self.cells + 1, self.cells):
            mask = torch.ones((side, side, side), dtype=torch.bool, device=device)
            mask[1:-1, 1:-1, 1:-1] = False
            masks.append(mask.view(-1))
        return torch.cat(masks)

    def crossed(self, inside: Bool[Tensor, "P"]) -> Int[Tensor, "T 4"]:
        """Return the tetrahedra with vertices both inside and outside, each of positive volume.

        Squares are tested first, so that memory grows with the surface, and with N^3 only in bytes.
        """
        found = [self._crossed_along(axis, inside) for axis in range(3)]
        tetrahedra = torch.cat(found)
        count = inside[tetrahedra].sum(dim=1)
        return tetrahedra[(count > 0) & (count < 4)]

    def _crossed_along(self, axis: int, inside: Bool[Tensor, "P"]) -> Int[Tensor, "T 4"]:
        """Return the tetrahedra around the crossed squares perpendicular to one axis."""
        numbers = torch.arange(self.vertex_count, device=inside.device)
        square = self._crossed_squares(axis, inside).nonzero(as_tuple=True)
        near, far, *side = (vertex[square] for vertex in self._around_squares(numbers, axis))
        # Seen along the axis the sides run counter-clockwise, so that (near, far, side, next side) is positive.
        following = [*side[1:], side[0]]
        return torch.cat([torch.stack([near, far, a, b], dim=1) for a, b in zip(side, following, strict=True)])

    def crossed_within(
        self, inside: Bool[Tensor, "P"], bound: int
    ) -> tuple[Int[Tensor, "4 B 4"], Int[Tensor, "B"], Bool[Tensor, "B"], Int[Tensor, ""]]:
        """Return the tetrahedra around the first `bound` crossed squares, without waiting for an accelerator.

        The squares are those of `crossed`, in its order, of which tetrahedra may have all vertices on one side.

        Returns:
            Tetrahedra by side and square; the axis across each square; which of the squares there are; and the number
            of all crossed squares, which may exceed the bound.
        """
        masks = [self._crossed_squares(across, inside).reshape(-1) for across in range(3)]
        place = torch.cat(masks).cumsum(0)
        total = place[-1]
        squares = torch.searchsorted(place, torch.arange(1, bound + 1, device=inside.device))
        axis = squares.clamp(max=len(place) - 1).div(len(masks[0]), rounding_mode="floor")
        layer, column, row = self._place_of(squares % len(masks[0]))
        turned = [
            constant(self._strides(side), inside.device, torch.long)[axis] for side in (self.cells, self.cells + 1)
        ]
        (of_centres, of_corners) = (strides.unbind(1) for strides in turned)
        near = self.corner_count + layer * of_centres[0] + column * of_centres[1] + row * of_centres[2]
        corner = [
            (layer + 1) * of_corners[0] + (column + right) * of_corners[1] + (row + up) * of_corners[2]
            for right, up in ((0, 0), (1, 0), (1, 1), (0, 1))
        ]
        around = zip(corner, [*corner[1:], corner[0]], strict=True)
        tetrahedra = torch.stack([torch.stack([near, near + of_centres[0], a, b], dim=1) for a, b in around])
        return tetrahedra, axis, torch.arange(bound, device=inside.device) < total, total

    def _crossed_squares(self, axis: int, inside: Bool[Tensor, "P"]) -> Bool[Tensor, "M N N"]:
        """Return which squares across an axis have vertices both inside and outside."""
        flags = self._around_squares(inside.to(torch.uint8), axis)
        count = sum(flags[1:], start=flags[0])
        return (count > 0) & (count < len(flags))

    def _place_of(self, number: Int[Tensor, "B"]) -> tuple[Int[Tensor, "B"], Int[Tensor, "B"], Int[Tensor, "B"]]:
        """Return layer, column and row of squares across an axis."""
        layer = number.div(self.cells**2, rounding_mode="floor")
        rest = number % self.cells**2
        return layer, rest.div(self.cells, rounding_mode="floor"), rest % self.cells

    @staticmethod
    def _strides(side: int) -> tuple[tuple[int, int, int], ...]:
        """Return the strides of a cube of numbers, z fastest, along an axis and the two that follow it, by the axis."""
        strides = (side * side, side, 1)
        return tuple((strides[axis], strides[(axis + 1) % 3], strides[(axis + 2) % 3]) for axis in range(3))

    def _around_squares(self, values: Tensor, axis: int) -> list[Tensor]:
        """Return the values at the centres before and behind each square across `axis`, and at its four corners."""
        order = (axis, (axis + 1) % 3, (axis + 2) % 3)
        side = self.cells + 1
        corners = values[: self.corner_count].view(side, side, side).permute(order)[1:-1]
        centres = values[self.corner_count :].view(self.cells, self.cells, self.cells).permute(order)
        low, high = slice(None, -1), slice(1, None)
        return [
            centres[low],
            centres[high],
            corners[:, low, low],
            corners[:, high, low],
            corners[:, high, high],
            corners[:, low, high],
        ]

    def locate(self, points: Float[Tensor, "S 3"]) -> tuple[Int[Tensor, "S 4"], Float[Tensor, "S 4"]]:
        """Return the tetrahedron of each point of the cube and its barycentric weights, differentiable in the point.

        Sorted by magnitude, the offset from the nearest centre identifies the tetrahedron: the largest component points
        to the neighbouring cell, the next to the side of the square in between. At an outermost face the missing
        neighbour is replaced by the point mirrored at that face, with the index of the centre itself. Points outside
        the cube are clamped to its border.
        """
        scaled = (points.clamp(-1.0, 1.0) + 1.0) * (0.5 * self.cells)
        cell = scaled.detach().floor().clamp(0, self.cells - 1).long()
        offset = 2.0 * (scaled - cell) - 1.0  # in [-1, 1] within the cell
        order = offset.detach().abs().argsort(dim=1, descending=True)
        size = offset.abs().gather(1, order)
        sign = torch.where(offset.detach() < 0, -1, 1)
        first, second, third = (torch.nn.functional.one_hot(order[:, i], 3) * sign for i in range(3))
        last = size[:, 2]
        weights = torch.stack(
            [
                1.0 - 0.5 * (size[:, 0] + size[:, 1]),
                0.5 * (size[:, 0] - size[:, 1]),
                0.5 * (size[:, 1] + last),
                0.5 * (size[:, 1] - last),
            ],
            dim=1,
        )
        neighbor = cell + first
        missing = ((neighbor < 0) | (neighbor >= self.cells)).any(dim=1, keepdim=True)
        neighbor = torch.where(missing, cell, neighbor)
        corner = [(2 * cell + 1 + first + second + turn) // 2 for turn in (third, -third)]
        rows = [self._centre_number(cell), self._centre_number(neighbor), *map(self._corner_number, corner)]
        return torch.stack(rows, dim=1), weights

    def _corner_number(self, index: Int[Tensor, "S 3"]) -> Int[Tensor, "S"]:
        side = self.cells + 1
        return (index[:, 0] * side + index[:, 1]) * side + index[:, 2]

    def _centre_number(self, index: Int[Tensor, "S 3"]) -> Int[Tensor, "S"]:
        return (index[:, 0] * self.cells + index[:, 1]) * self.cells + index[:, 2] + self.corner_count
