"""Compiled texture sampling: the operators of `bozzetto.kernels.operators.texture` in C++."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from bozzetto.kernels.cpp.native import call
from bozzetto.kernels.operators.operator import CPP
from bozzetto.kernels.operators.texture import (
    BOUNDARIES,
    FILTERS,
    TextureKernels,
    fake_backward_points,
    fake_texture,
    texture_operator,
)
from bozzetto.kernels.ref.texture import BoundaryMode, FilterMode


def texture(
    levels: Sequence[Float[Tensor, "T_B _h _w C"]],
    uv: Float[Tensor, "B H W 2"],
    level: Float[Tensor, "B H W"] | None,
    filter_mode: FilterMode,
    boundary_mode: BoundaryMode,
) -> Float[Tensor, "B H W C"]:
    """Compiled form of `bozzetto.kernels.ref.texture.texture`."""
    return _texture(list(levels), uv, level, filter_mode, boundary_mode)


def _run(levels: list[Tensor], uv: Tensor, level: Tensor | None, filter_mode: str, boundary_mode: str) -> Tensor:
    packed = [tex.contiguous() for tex in levels]
    out = fake_texture(levels, uv)
    inputs = (_pointers(packed), _extents(levels), uv.contiguous(), _contiguous(level))
    call("texture", *_sizes(levels, uv, filter_mode, boundary_mode), *inputs, out)
    return out


def _run_backward_points(
    levels: list[Tensor], uv: Tensor, level: Tensor | None, filter_mode: str, boundary_mode: str, grad: Tensor
) -> tuple[Tensor, Tensor]:
    packed = [tex.contiguous() for tex in levels]
    grad_uv, grad_level = fake_backward_points(levels, uv)
    inputs = (_pointers(packed), _extents(levels), uv.contiguous(), _contiguous(level), grad.contiguous())
    wanted = grad_level if level is not None and filter_mode == "linear-mipmap-linear" else None
    call("texture_backward_points", *_sizes(levels, uv, filter_mode, boundary_mode), *inputs, grad_uv, wanted)
    return grad_uv, grad_level if wanted is not None else grad_level.zero_()


def _run_backward_levels(
    levels: list[Tensor], uv: Tensor, level: Tensor | None, filter_mode: str, boundary_mode: str, grad: Tensor
) -> list[Tensor]:
    grads = [tex.new_zeros(tex.shape) for tex in levels]
    inputs = (_extents(levels), uv.contiguous(), _contiguous(level), grad.contiguous(), _pointers(grads))
    call("texture_backward_levels", *_sizes(levels, uv, filter_mode, boundary_mode), *inputs)
    return grads


def _sizes(levels: list[Tensor], uv: Tensor, filter_mode: str, boundary_mode: str) -> tuple[int, ...]:
    """Return images, pixels, channels, level_count, shared, filter and boundary of texture.cpp."""
    images, height, width, _ = uv.shape
    modes = (FILTERS.index(filter_mode), BOUNDARIES.index(boundary_mode))
    return images, height * width, levels[0].shape[3], len(levels), int(len(levels[0]) == 1), *modes


def _pointers(tensors: list[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def _extents(levels: list[Tensor]) -> Any:
    sides = [side for tex in levels for side in tex.shape[1:3]]
    return (ctypes.c_int64 * len(sides))(*sides)


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


_texture = texture_operator(CPP, TextureKernels(_run, _run_backward_points, _run_backward_levels))
