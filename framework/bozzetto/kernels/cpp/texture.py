"""Compiled texture sampling: the operator `bozzetto::texture` and two operators for its gradients."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.kernels.cpp.native import call
from bozzetto.kernels.cpp.operator import operator
from bozzetto.kernels.ref.texture import BoundaryMode, FilterMode

FILTERS = ("nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
BOUNDARIES = ("wrap", "clamp", "zero")
"""Modes in the order of the enumerations of texture.cpp."""

ARGUMENTS = "Tensor[] levels, Tensor uv, Tensor? level, str filter_mode, str boundary_mode"


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
    out = _fake(levels, uv)
    inputs = (_pointers(packed), _extents(levels), uv.contiguous(), _contiguous(level))
    call("texture", *_sizes(levels, uv, filter_mode, boundary_mode), *inputs, out)
    return out


def _fake(levels: list[Tensor], uv: Tensor, *_: Any) -> Tensor:
    return uv.new_empty(*uv.shape[:3], levels[0].shape[3])


def _run_backward_points(
    levels: list[Tensor], uv: Tensor, level: Tensor | None, filter_mode: str, boundary_mode: str, grad: Tensor
) -> tuple[Tensor, Tensor]:
    packed = [tex.contiguous() for tex in levels]
    grad_uv, grad_level = _fake_backward_points(levels, uv)
    inputs = (_pointers(packed), _extents(levels), uv.contiguous(), _contiguous(level), grad.contiguous())
    wanted = grad_level if level is not None and filter_mode == "linear-mipmap-linear" else None
    call("texture_backward_points", *_sizes(levels, uv, filter_mode, boundary_mode), *inputs, grad_uv, wanted)
    return grad_uv, grad_level if wanted is not None else grad_level.zero_()


def _fake_backward_points(levels: list[Tensor], uv: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return uv.new_empty(uv.shape), uv.new_empty(uv.shape[:3])


def _run_backward_levels(
    levels: list[Tensor], uv: Tensor, level: Tensor | None, filter_mode: str, boundary_mode: str, grad: Tensor
) -> list[Tensor]:
    grads = [tex.new_zeros(tex.shape) for tex in levels]
    inputs = (_extents(levels), uv.contiguous(), _contiguous(level), grad.contiguous(), _pointers(grads))
    call("texture_backward_levels", *_sizes(levels, uv, filter_mode, boundary_mode), *inputs)
    return grads


def _fake_backward_levels(levels: list[Tensor], *_: Any) -> list[Tensor]:
    return [tex.new_empty(tex.shape) for tex in levels]


_texture = operator("texture", f"({ARGUMENTS}) -> Tensor", _run, _fake)
_backward_points = operator(
    "texture_backward_points",
    f"({ARGUMENTS}, Tensor grad) -> (Tensor grad_uv, Tensor grad_level)",
    _run_backward_points,
    _fake_backward_points,
)
_backward_levels = operator(
    "texture_backward_levels", f"({ARGUMENTS}, Tensor grad) -> Tensor[]", _run_backward_levels, _fake_backward_levels
)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    levels, uv, level, ctx.filter_mode, ctx.boundary_mode = inputs
    ctx.has_level = level is not None
    ctx.save_for_backward(uv, *([level] if ctx.has_level else []), *levels)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    uv, *levels = ctx.saved_tensors
    level = levels.pop(0) if ctx.has_level else None
    known = (levels, uv, level, ctx.filter_mode, ctx.boundary_mode, grad)
    to_levels: Sequence[Tensor | None] = [None] * len(levels)
    to_uv = to_level = None
    if any(ctx.needs_input_grad[0]):
        to_levels = _backward_levels(*known)
    if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
        to_uv, to_level = _backward_points(*known)
    return to_levels, to_uv, to_level if ctx.has_level else None, None, None


torch.library.register_autograd("bozzetto::texture", _differentiate, setup_context=_keep)


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
