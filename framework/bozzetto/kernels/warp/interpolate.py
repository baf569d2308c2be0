"""Attribute interpolation in Warp: the operators of `bozzetto.kernels.operators.interpolate`."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.operators.interpolate import InterpolateKernels, interpolate_operator
from bozzetto.kernels.operators.operator import WARP
from bozzetto.kernels.warp import interpolate_kernels as kernels
from bozzetto.kernels.warp.runtime import launch
from bozzetto.kernels.warp.sums import largest, start


def interpolate(
    attr: Float[Tensor, "A_B V A"],
    rast: Float[Tensor, "B H W 4"],
    tri: Int[Tensor, "T 3"],
    rast_db: Float[Tensor, "B H W 4"],
    diff_attrs: Sequence[int],
) -> tuple[Float[Tensor, "B H W A"], Float[Tensor, "B H W D2"]]:
    """Warp form of `bozzetto.kernels.ref.interpolate.interpolate`.

    Pixels whose triangle is not in `tri`, or has an index outside `attr`, are empty.
    """
    return _interpolate(attr, rast, tri, rast_db if diff_attrs else None, list(diff_attrs))


def _run(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None, diff_attrs: Sequence[int]
) -> tuple[Tensor, Tensor]:
    image, channels = rast.shape[:3], attr.shape[2]
    out, out_da = attr.new_zeros(*image, channels), attr.new_zeros(*image, 2 * len(diff_attrs))
    known = (attr.contiguous(), *_rasters(rast, tri, rast_db, diff_attrs))
    launch(kernels.forward, _pixels(rast), *known, _rows(out), _rows(out_da))
    return out, out_da


def _run_backward_rast(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None,
    diff_attrs: Sequence[int],
    grad_out: Tensor,
    grad_da: Tensor | None,
) -> tuple[Tensor, Tensor]:
    grad_rast, grad_db = rast.new_zeros(rast.shape), rast.new_zeros(rast.shape)
    known = (attr.contiguous(), *_rasters(rast, tri, rast_db, diff_attrs), _rows(grad_out), _rows(grad_da))
    launch(kernels.backward_rast, _pixels(rast), *known, _rows(grad_rast), _rows(grad_db))
    return grad_rast, grad_db


def _run_backward_attr(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None,
    diff_attrs: Sequence[int],
    grad_out: Tensor,
    grad_da: Tensor | None,
) -> Tensor:
    def bound() -> Tensor:
        """Barycentrics are at most 1; a derivative adds to an attribute at most along both axes of u and v."""
        moved = 4.0 * largest(grad_da) * largest(rast_db) if grad_da is not None else 0.0
        return 2.0 * largest(grad_out) + moved

    sums = start(attr, attr.numel(), bound, 3 * (1 + 2 * len(diff_attrs)) * rast.numel())
    known = (*_rasters(rast, tri, rast_db, diff_attrs), _rows(grad_out), _rows(grad_da))
    launch(kernels.backward_attr, _pixels(rast), *attr.shape, *known, *sums)
    return sums.result().view(attr.shape)


def _pixels(rast: Tensor) -> tuple[int, int]:
    return rast.shape[0], rast.shape[1] * rast.shape[2]


def _rows(image: Tensor | None) -> Tensor | None:
    """Return an image "B H W C" as "B HW C", None if it is empty."""
    if image is None or image.numel() == 0:
        return None
    return image.contiguous().view(image.shape[0], image.shape[1] * image.shape[2], image.shape[3])


def _rasters(
    rast: Tensor, tri: Tensor, rast_db: Tensor | None, diff_attrs: Sequence[int]
) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor | None]:
    return _rows(rast), tri.contiguous(), _rows(rast_db), _chosen(tuple(diff_attrs), rast.device)


@functools.lru_cache(maxsize=64)
def _chosen(diff_attrs: tuple[int, ...], device: torch.device) -> Tensor | None:
    return torch.tensor(diff_attrs, dtype=torch.int32, device=device) if diff_attrs else None


_interpolate = interpolate_operator(WARP, InterpolateKernels(_run, _run_backward_rast, _run_backward_attr))
