"""Antialiasing in Warp: the operators of `bozzetto.kernels.operators.antialias`."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.operators.antialias import AntialiasKernels, Parts, antialias_operator, fake_antialias
from bozzetto.kernels.operators.operator import WARP
from bozzetto.kernels.warp import antialias_kernels as kernels
from bozzetto.kernels.warp.runtime import launch
from bozzetto.kernels.warp.vertex_sums import vertex_sums


def antialias(
    color: Float[Tensor, "B H W C"],
    rast: Float[Tensor, "B H W 4"],
    pos: Float[Tensor, "B V 4"],
    tri: Int[Tensor, "T 3"],
    opposite: Int[Tensor, "T 3"],
) -> Float[Tensor, "B H W C"]:
    """Warp form of `bozzetto.kernels.ref.antialias.antialias`. Triangles with an index out of range blend nothing."""
    return _antialias(color, rast.detach(), pos, tri, opposite)[0]


def _run(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, opposite: Tensor) -> Parts:
    out, blends, outlines = fake_antialias(color, rast, pos, tri, opposite)
    at, corners, across, raster = (item.contiguous() for item in (pos, tri, opposite, rast))
    facings = outlines.new_empty(outlines.shape)
    launch(kernels.face, tuple(outlines.shape), at, corners, facings)
    launch(kernels.outline, tuple(outlines.shape), corners, across, facings, outlines)
    launch(kernels.blend, tuple(color.shape[:3]), raster, at, corners, across, outlines, blends)
    launch(kernels.apply, tuple(color.shape[:3]), color.contiguous(), raster, blends, 0, out)
    return out, blends, outlines


def _run_backward_color(rast: Tensor, blends: Tensor, grad: Tensor) -> Tensor:
    grad_color = grad.new_empty(grad.shape)
    known = (grad.contiguous(), rast.contiguous(), blends.contiguous())
    launch(kernels.apply, tuple(grad.shape[:3]), *known, 1, grad_color)
    return grad_color


def _run_backward_pos(
    color: Tensor,
    rast: Tensor,
    pos: Tensor,
    tri: Tensor,
    opposite: Tensor,
    outlines: Tensor,
    blends: Tensor,
    grad: Tensor,
) -> Tensor:
    known = [item.contiguous() for item in (color, rast, pos, tri, opposite, outlines, blends, grad)]
    sums = vertex_sums(pos, blends.numel())
    launch(kernels.backward_pos, tuple(color.shape[:3]), *known, *sums)
    return sums.result(pos, tri)


_antialias = antialias_operator(WARP, AntialiasKernels(_run, _run_backward_color, _run_backward_pos))
