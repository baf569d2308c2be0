"""Operators of texture sampling and of its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor
from torch.library import register_autograd

from bozzetto.kernels.operators.operator import operator

FILTERS = ("nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
BOUNDARIES = ("wrap", "clamp", "zero")
"""Modes in the order of the enumerations of the kernels."""

ARGUMENTS = "Tensor[] levels, Tensor uv, Tensor? level, str filter_mode, str boundary_mode"


@runtime_checkable
class Sample(Protocol):
    """Samples "B H W C" of a texture and its mipmaps."""

    def __call__(
        self, levels: list[Tensor], uv: Tensor, level: Tensor | None, filter_mode: str, boundary_mode: str
    ) -> Tensor:
        """Compute them."""


@runtime_checkable
class BackwardPoints(Protocol):
    """Gradients to `uv` and `level`; the latter is zero unless the filter interpolates between levels."""

    def __call__(
        self, levels: list[Tensor], uv: Tensor, level: Tensor | None, filter_mode: str, boundary_mode: str, grad: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute them."""


@runtime_checkable
class BackwardLevels(Protocol):
    """Gradients to the texture and its mipmaps."""

    def __call__(
        self, levels: list[Tensor], uv: Tensor, level: Tensor | None, filter_mode: str, boundary_mode: str, grad: Tensor
    ) -> list[Tensor]:
        """Compute them."""


class TextureKernels(NamedTuple):
    """Kernels of one implementation."""

    run: Sample
    backward_points: BackwardPoints
    backward_levels: BackwardLevels


def fake_texture(levels: list[Tensor], uv: Tensor, *_: Any) -> Tensor:
    """Return an empty result of `Sample`."""
    return uv.new_empty(*uv.shape[:3], levels[0].shape[3])


def fake_backward_points(levels: list[Tensor], uv: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """Return an empty result of `BackwardPoints`."""
    return uv.new_empty(uv.shape), uv.new_empty(uv.shape[:3])


def fake_backward_levels(levels: list[Tensor], *_: Any) -> list[Tensor]:
    """Return an empty result of `BackwardLevels`."""
    return [tex.new_empty(tex.shape) for tex in levels]


def texture_operator(space: str, kernels: TextureKernels) -> Sample:
    """Register the operators of an implementation, and the derivative of the first, which is returned."""
    forward = operator(space, "texture", f"({ARGUMENTS}) -> Tensor", kernels.run, fake_texture)
    backward_points = operator(
        space,
        "texture_backward_points",
        f"({ARGUMENTS}, Tensor grad) -> (Tensor grad_uv, Tensor grad_level)",
        kernels.backward_points,
        fake_backward_points,
    )
    backward_levels = operator(
        space,
        "texture_backward_levels",
        f"({ARGUMENTS}, Tensor grad) -> Tensor[]",
        kernels.backward_levels,
        fake_backward_levels,
    )

    def differentiate(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        uv, *levels = ctx.saved_tensors
        level = levels.pop(0) if ctx.has_level else None
        known = (levels, uv, level, ctx.filter_mode, ctx.boundary_mode, grad)
        to_levels: Sequence[Tensor | None] = [None] * len(levels)
        to_uv = to_level = None
        if any(ctx.needs_input_grad[0]):
            to_levels = backward_levels(*known)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            to_uv, to_level = backward_points(*known)
        return to_levels, to_uv, to_level if ctx.has_level else None, None, None

    register_autograd(f"{space}::texture", differentiate, setup_context=_keep)
    return forward


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    levels, uv, level, ctx.filter_mode, ctx.boundary_mode = inputs
    ctx.has_level = level is not None
    ctx.save_for_backward(uv, *([level] if ctx.has_level else []), *levels)
