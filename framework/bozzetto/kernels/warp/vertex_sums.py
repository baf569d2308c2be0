"""Sums of the gradients of triangles to their vertices, by floating-point atomics or with the same bits in every run.

A bound of these gradients is not known beforehand. In the deterministic mode they are written down first, one triangle
in each place (of a pixel), then added up in fixed point, see `bozzetto.kernels.warp.sums`.
"""

from typing import NamedTuple, no_type_check

import torch
import warp as wp
from torch import Tensor

from bozzetto.kernels.settings import current
from bozzetto.kernels.warp.runtime import launch, module
from bozzetto.kernels.warp.sums import add, largest, start
from bozzetto.kernels.warp.triangles import CornerGrads

HOME = module("vertex_sums")


class VertexSums(NamedTuple):
    """Gradients being added up: the arguments of a kernel that calls `add_grads`."""

    fast: Tensor | None
    """Gradient "4BV" to `pos`; None in the deterministic mode."""
    parts: Tensor | None
    """Gradients "P 9" to x, y and w of the corners of the triangle in each place."""
    triangle: Tensor | None
    """Triangle of each place "P", -1 for none."""

    def result(self, pos: Tensor, tri: Tensor) -> Tensor:
        """Return the gradient to `pos`."""
        if self.parts is None or self.triangle is None:
            assert self.fast is not None
            return self.fast.view(pos.shape)
        parts = self.parts
        sums = start(pos, pos.numel(), lambda: largest(parts), 3 * len(parts))
        per_image = len(parts) // max(len(pos), 1)
        launch(deposit, (len(parts), 3), tri.contiguous(), per_image, pos.shape[1], parts, self.triangle, *sums)
        return sums.result().view(pos.shape)


def vertex_sums(pos: Tensor, places: int) -> VertexSums:
    """Return sums of 0 for `pos` "B V 4"; each place is added to at most once, those of an image in a row."""
    if not current().deterministic:
        return VertexSums(pos.new_zeros(pos.numel()), None, None)
    triangle = torch.full((places,), -1, dtype=torch.int32, device=pos.device)
    return VertexSums(None, pos.new_zeros(places, 9), triangle)


@wp.func
@no_type_check
def add_grads(
    grads: CornerGrads, tri: wp.array2d(dtype=int), number: int, first_vertex: int, place: int,
    fast: wp.array(dtype=float), parts: wp.array2d(dtype=float), triangle: wp.array(dtype=int),
):  # fmt: skip
    """Add the gradients of triangle `number` to its vertices; `first_vertex` is that of the image."""
    if triangle.shape[0] > 0:
        triangle[place] = number
        for i in range(3):
            parts[place, 3 * i] = float(grads.x[i])
            parts[place, 3 * i + 1] = float(grads.y[i])
            parts[place, 3 * i + 2] = float(grads.w[i])
    else:
        for i in range(3):
            at = 4 * (first_vertex + tri[number, i])
            wp.atomic_add(fast, at, float(grads.x[i]))
            wp.atomic_add(fast, at + 1, float(grads.y[i]))
            wp.atomic_add(fast, at + 3, float(grads.w[i]))


@wp.kernel(module=HOME)
@no_type_check
def deposit(
    tri: wp.array2d(dtype=int), per_image: int, vertices: int, parts: wp.array2d(dtype=float),
    triangle: wp.array(dtype=int), fast: wp.array(dtype=float), exact: wp.array(dtype=wp.int64),
    per_unit: wp.array(dtype=wp.float64),
):  # fmt: skip
    """Add the gradients of each place to the vertices of its triangle."""
    place, i = wp.tid()
    number = triangle[place]
    if number < 0:
        return
    at = 4 * ((place // per_image) * vertices + tri[number, i])
    add(fast, exact, per_unit, at, parts[place, 3 * i])
    add(fast, exact, per_unit, at + 1, parts[place, 3 * i + 1])
    add(fast, exact, per_unit, at + 3, parts[place, 3 * i + 2])
