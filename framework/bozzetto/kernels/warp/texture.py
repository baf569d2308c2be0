"""Texture sampling in Warp: the operators of `bozzetto.kernels.operators.texture`."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.kernels.operators.operator import WARP
from bozzetto.kernels.operators.texture import (
    BOUNDARIES,
    FILTERS,
    TextureKernels,
    fake_backward_points,
    fake_texture,
    texture_operator,
)
from bozzetto.kernels.ref.texture import BoundaryMode, FilterMode
from bozzetto.kernels.warp import texture_kernels as kernels
from bozzetto.kernels.warp.runtime import launch
from bozzetto.kernels.warp.sums import largest, start


def texture(
    levels: Sequence[Float[Tensor, "T_B _h _w C"]],
    uv: Float[Tensor, "B H W 2"],
    level: Float[Tensor, "B H W"] | None,
    filter_mode: FilterMode,
    boundary_mode: BoundaryMode,
) -> Float[Tensor, "B H W C"]:
    """Warp form of `bozzetto.kernels.ref.texture.texture`."""
    return _texture(list(levels), uv, level, filter_mode, boundary_mode)


def _run(levels: list[Tensor], uv: Tensor, level: Tensor | None, filter_mode: str, boundary_mode: str) -> Tensor:
    out = fake_texture(levels, uv)
    known = (_packed(levels), *_modes(levels, filter_mode, boundary_mode), _rows(uv), _plane(level))
    launch(kernels.forward, _pixels(uv), *known, _rows(out))
    return out


def _run_backward_points(
    levels: list[Tensor], uv: Tensor, level: Tensor | None, filter_mode: str, boundary_mode: str, grad: Tensor
) -> tuple[Tensor, Tensor]:
    grad_uv, grad_level = fake_backward_points(levels, uv)
    grad_level.zero_()
    wanted = level is not None and filter_mode == "linear-mipmap-linear"
    known = (_packed(levels), *_modes(levels, filter_mode, boundary_mode), _rows(uv), _plane(level), _rows(grad))
    launch(kernels.backward_points, _pixels(uv), *known, _rows(grad_uv), _plane(grad_level) if wanted else None)
    return grad_uv, grad_level


def _run_backward_levels(
    levels: list[Tensor], uv: Tensor, level: Tensor | None, filter_mode: str, boundary_mode: str, grad: Tensor
) -> list[Tensor]:
    counts = [tex.numel() for tex in levels]
    sums = start(uv, sum(counts), lambda: largest(grad), 8 * math.prod(uv.shape[:3]))
    known = (*_modes(levels, filter_mode, boundary_mode), _rows(uv), _plane(level), _rows(grad))
    launch(kernels.backward_levels, _pixels(uv), *known, *sums)
    parts = zip(sums.result().split(counts), levels, strict=True)
    return [part.reshape(tex.shape).clone() for part, tex in parts]  # an operator's results share no memory


def _packed(levels: list[Tensor]) -> Tensor:
    """Return the texels of all levels, one after another."""
    channels = levels[0].shape[3]
    return torch.cat([tex.reshape(-1, channels) for tex in levels])


def _modes(levels: list[Tensor], filter_mode: str, boundary_mode: str) -> tuple[Tensor, int, int, int]:
    """Return the arguments `sizes`, `shared`, `mode` and `boundary` of the kernels."""
    shapes = tuple((tex.shape[0], tex.shape[1], tex.shape[2]) for tex in levels)
    sizes = _sizes(shapes, levels[0].device)
    return sizes, int(len(levels[0]) == 1), FILTERS.index(filter_mode), BOUNDARIES.index(boundary_mode)


@functools.lru_cache(maxsize=64)
def _sizes(shapes: tuple[tuple[int, int, int], ...], device: torch.device) -> Tensor:
    """Return the height, width and first texel of each level."""
    rows, first = [], 0
    for images, height, width in shapes:
        rows.append([height, width, first])
        first += images * height * width
    return torch.tensor(rows, dtype=torch.int32, device=device)


def _pixels(uv: Tensor) -> tuple[int, int]:
    return uv.shape[0], uv.shape[1] * uv.shape[2]


def _rows(image: Tensor) -> Tensor:
    """Return an image "B H W C" as "B HW C"."""
    return image.contiguous().view(image.shape[0], image.shape[1] * image.shape[2], image.shape[3])


def _plane(image: Tensor | None) -> Tensor | None:
    """Return an image "B H W" as "B HW"."""
    return None if image is None else image.contiguous().view(image.shape[0], image.shape[1] * image.shape[2])


_texture = texture_operator(WARP, TextureKernels(_run, _run_backward_points, _run_backward_levels))
