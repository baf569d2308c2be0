"""Rasterisation in Warp: the operators of `bozzetto.kernels.operators.rasterize`."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.operators.operator import WARP
from bozzetto.kernels.operators.rasterize import fake_rasterize, rasterize_operator
from bozzetto.kernels.warp import rasterize_kernels as kernels
from bozzetto.kernels.warp.runtime import launch
from bozzetto.kernels.warp.vertex_sums import vertex_sums

THREADS = 1 << 20
"""Threads that the rows of all triangles are shared by, if there are fewer triangles."""

FEWEST_LANES = 4
"""Threads of a triangle at least, so that a large one among many does not hold up all."""


def rasterize(
    pos: Float[Tensor, "B V 4"], tri: Int[Tensor, "T 3"], height: int, width: int
) -> tuple[Float[Tensor, "B H W 4"], Float[Tensor, "B H W 4"]]:
    """Warp form of `bozzetto.kernels.ref.rasterize.rasterize`; triangle numbers are bitwise equal.

    Triangles with an index outside `pos` are not drawn: looking for them would wait for the device.
    """
    return _rasterize(pos, tri, height, width)


def _run(pos: Tensor, tri: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    images, vertices, triangles = len(pos), pos.shape[1], len(tri)
    rast, rast_db = fake_rasterize(pos, tri, height, width)
    codes, fixed = tri.new_empty(images, vertices), tri.new_empty(images, vertices, 2)
    depths = torch.empty(images, vertices, dtype=torch.float64, device=pos.device)
    far, none = torch.iinfo(torch.int64).max, torch.iinfo(torch.int32).max
    nearest = torch.full((images, height, width), far, dtype=torch.int64, device=pos.device)
    owner = tri.new_full((images, height, width), none)
    at, corners = pos.contiguous(), tri.contiguous()
    launch(kernels.classify, (images, vertices), at, height, width, codes, fixed, depths)
    lanes = min(max(THREADS // max(images * triangles, 1), FEWEST_LANES), height)
    for second in (0, 1):
        known = (at, corners, codes, fixed, depths, lanes, second)
        launch(kernels.cover, (images, triangles, lanes), *known, nearest, owner)
    launch(kernels.resolve, (images, height, width), at, corners, nearest, owner, rast, rast_db)
    return rast, rast_db


def _run_backward(pos: Tensor, tri: Tensor, rast: Tensor, grad_rast: Tensor, grad_db: Tensor | None) -> Tensor:
    images, height, width, _ = rast.shape
    known = (pos.contiguous(), tri.contiguous(), rast.contiguous(), grad_rast.contiguous())
    into = None if grad_db is None else grad_db.contiguous()
    sums = vertex_sums(pos, images * height * width)
    launch(kernels.backward, (images, height, width), *known, into, *sums)
    return sums.result(pos, tri)


_rasterize = rasterize_operator(WARP, _run, _run_backward)
