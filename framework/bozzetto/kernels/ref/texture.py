"""Torch reference of texture sampling with mipmaps (Williams 1983, Pyramidal Parametrics)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

FilterMode = Literal["nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear"]
BoundaryMode = Literal["wrap", "clamp", "zero"]

TINY = 1e-30


def texture(
    levels: Sequence[Float[Tensor, "T_B _h _w C"]],
    uv: Float[Tensor, "B H W 2"],
    level: Float[Tensor, "B H W"] | None,
    filter_mode: FilterMode,
    boundary_mode: BoundaryMode,
) -> Float[Tensor, "B H W C"]:
    """Torch reference of `bozzetto.kernels.mesh.texture`; `levels` are the texture and its mipmaps.

    `level` is the fractional mip level in [0, len(levels) - 1]; only the mipmap filters read it, None for the others.
    """
    images, height, width, _ = uv.shape
    image = torch.arange(images, device=uv.device)[:, None].expand(-1, height * width).flatten()
    points = uv.reshape(-1, 2)
    if filter_mode == "nearest":
        sampled = _nearest(levels[0], image, points, boundary_mode)
    elif level is None or len(levels) == 1 or filter_mode == "linear":
        sampled = _bilinear(levels[0], image, points, boundary_mode)
    elif filter_mode == "linear-mipmap-nearest":
        at = (level.detach().flatten() + 0.5).floor()
        sampled = _blend(levels, image, points, at.clamp(max=len(levels) - 2), at, boundary_mode)
    else:
        at = level.flatten()
        sampled = _blend(levels, image, points, at.detach().floor().clamp(max=len(levels) - 2), at, boundary_mode)
    pictures: Tensor = sampled.unflatten(0, (images, height, width))
    return pictures


def mipmap(tex: Float[Tensor, "T_B h w C"]) -> Float[Tensor, "T_B h2 w2 C"]:
    """Return the next coarser level: means of 2 by 2 texels; a side of one texel stays one."""
    size = [2 if side > 1 else 1 for side in tex.shape[1:3]]
    return torch.nn.functional.avg_pool2d(tex.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)


def footprint_level(uv_da: Float[Tensor, "B H W 4"], height: int, width: int) -> Float[Tensor, "B H W"]:
    """Return the mip level at which a texel is as long as the longer axis of a pixel's footprint; may be negative.

    It is log2 of the larger singular value of d(texels)/d(pixels), from (du/dX, du/dY, dv/dX, dv/dY), for a `height` by
    `width` texture.
    """
    ux, uy, vx, vy = uv_da.unbind(-1)
    ux, uy, vx, vy = width * ux, width * uy, height * vx, height * vy
    uu, vv, uv = ux * ux + uy * uy, vx * vx + vy * vy, ux * vx + uy * vy
    # The square root is not differentiable where both axes are equal; TINY makes the gradient 0 there.
    spread = (0.25 * (uu - vv) * (uu - vv) + uv * uv + TINY).sqrt()
    return 0.5 * (0.5 * (uu + vv) + spread).clamp(min=TINY).log2()


def _blend(
    levels: Sequence[Float[Tensor, "T_B _h _w C"]],
    image: Int[Tensor, "N"],
    points: Float[Tensor, "N 2"],
    finer: Float[Tensor, "N"],
    at: Float[Tensor, "N"],
    boundary_mode: BoundaryMode,
) -> Float[Tensor, "N C"]:
    """Interpolate between level `finer` and the next coarser one at the fractional level `at`."""
    sampled = points.new_zeros(len(points), levels[0].shape[-1])
    share = (at - finer)[:, None]
    for number, tex in enumerate(levels):
        for lower, weight in ((number, 1.0 - share), (number - 1, share)):
            chosen = torch.nonzero(finer == lower).flatten()
            value = _bilinear(tex, image[chosen], points[chosen], boundary_mode)
            sampled = sampled.index_add(0, chosen, weight[chosen] * value)
    return sampled


def _nearest(
    tex: Float[Tensor, "T_B h w C"], image: Int[Tensor, "N"], points: Float[Tensor, "N 2"], boundary_mode: BoundaryMode
) -> Float[Tensor, "N C"]:
    cell = (_texels(tex, points, boundary_mode) + 0.5).detach().floor().long()
    return _fetch(tex, image, cell, boundary_mode)


def _bilinear(
    tex: Float[Tensor, "T_B h w C"], image: Int[Tensor, "N"], points: Float[Tensor, "N 2"], boundary_mode: BoundaryMode
) -> Float[Tensor, "N C"]:
    position = _texels(tex, points, boundary_mode)
    cell = position.detach().floor()
    x, y = (position - cell).split(1, dim=-1)
    a, b, c, d = (
        _fetch(tex, image, cell.long() + cell.new_tensor(step).long(), boundary_mode)
        for step in ((0, 0), (1, 0), (0, 1), (1, 1))
    )
    mixed: Tensor = (a * (1.0 - x) + b * x) * (1.0 - y) + (c * (1.0 - x) + d * x) * y
    return mixed


def _texels(
    tex: Float[Tensor, "T_B h w C"], points: Float[Tensor, "N 2"], boundary_mode: BoundaryMode
) -> Float[Tensor, "N 2"]:
    """Convert texture coordinates to texels, with integers at texel centres."""
    size = points.new_tensor([tex.shape[2], tex.shape[1]])
    if boundary_mode == "wrap":
        return (points - points.detach().floor()) * size - 0.5
    low, high = (0.0, size - 1.0) if boundary_mode == "clamp" else (-1.0, size)  # beyond, all neighbours are outside
    return torch.clamp(points * size - 0.5, torch.full_like(size, low), high)


def _fetch(
    tex: Float[Tensor, "T_B h w C"], image: Int[Tensor, "N"], cell: Int[Tensor, "N 2"], boundary_mode: BoundaryMode
) -> Float[Tensor, "N C"]:
    size = cell.new_tensor([tex.shape[2], tex.shape[1]])
    inside = cell.remainder(size) if boundary_mode == "wrap" else torch.minimum(cell.clamp(min=0), size - 1)
    source = image if len(tex) > 1 else torch.zeros_like(image)
    value = tex[source, inside[:, 1], inside[:, 0]]
    if boundary_mode == "zero":
        return torch.where((inside == cell).all(dim=-1, keepdim=True), value, torch.zeros_like(value))
    return value
