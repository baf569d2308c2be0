"""Differentiable rendering of triangle meshes: rasterize, interpolate, texture, antialias.

The conventions are those that nvdiffrast documents (Laine et al. 2020, Modular Primitives for High-Performance
Differentiable Rendering), so that meshes, matrices and textures made for it fit. Images are "B H W C", **row 0 is the
bottom row**, as in OpenGL: flip once, where an image leaves this frame. Clip space is OpenGL's: x/w increases to the
right, y/w upward, and z/w is in [-1, 1] with smaller values nearer. Texture (0, 0) is the outer corner of row 0's first
texel. All are pure functions with a torch reference for any float type and a compiled form (`bozzetto.kernels.api`). No
second derivatives. Results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.backend import Backend, compiled, expect
from bozzetto.kernels.cpp.antialias import antialias as _antialias_cpp
from bozzetto.kernels.cpp.interpolate import interpolate as _interpolate_cpp
from bozzetto.kernels.cpp.rasterize import rasterize as _rasterize_cpp
from bozzetto.kernels.cpp.texture import texture as _texture_cpp
from bozzetto.kernels.cuda.packages import choose
from bozzetto.kernels.ref.antialias import antialias as _antialias_torch
from bozzetto.kernels.ref.antialias import topology as _topology_torch
from bozzetto.kernels.ref.interpolate import interpolate as _interpolate_torch
from bozzetto.kernels.ref.rasterize import rasterize as _rasterize_torch
from bozzetto.kernels.ref.texture import BoundaryMode, FilterMode, footprint_level, mipmap
from bozzetto.kernels.ref.texture import texture as _texture_torch

__all__ = [
    "BoundaryMode",
    "FilterMode",
    "antialias",
    "interpolate",
    "mipmaps",
    "rasterize",
    "texture",
    "topology",
]

LARGEST_SIDE = 1 << 14
"""Maximum image side in pixels; limit of 64-bit fixed-point edge functions with room for clipping."""

LARGEST_TRIANGLE_COUNT = (1 << 24) - 1
"""Maximum triangle number that float32 represents exactly."""


def rasterize(
    pos: Float[Tensor, "*B V 4"], tri: Int[Tensor, "T 3"], resolution: tuple[int, int], *, backend: Backend = "auto"
) -> tuple[Float[Tensor, "_B H W 4"], Float[Tensor, "_B H W 4"]]:
    """Rasterize: `rast` (u, v, z/w, triangle number + 1) and `rast_db` (du/dX, du/dY, dv/dX, dv/dY) at pixel centres.

    Vertices are `pos[tri]`, in clip space, "B V 4" or "V 4" (one image). u and v are the perspective-correct
    barycentrics of the triangle's first and second vertex; their derivatives are per pixel to the right (X) and upward
    (Y). Both outputs are zero where no triangle is visible. Both sides of a triangle are drawn. A pixel belongs to
    exactly one of the triangles around it (top-left rule, exact arithmetic). Triangles are clipped at the near and far
    planes, so those that extend behind the camera are drawn up to the near plane. At equal z/w the lower triangle
    number is visible. A triangle with a non-finite vertex is not drawn. Visibility is decided in float64.

    Gradients flow from u, v and `rast_db` to `pos`; none from z/w, nor from coverage, for which `antialias` provides
    them.

    Args:
        resolution: (height, width) in pixels, each from 1 to 16384.

    Raises:
        ValueError: a shape, the type of `tri` (int32) or the resolution is wrong, or an index is outside `pos`
            (checked where it needs no transfer).
    """
    height, width = resolution
    _expect_tri(tri)
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        raise ValueError(f"resolution: height and width must lie in [1, {LARGEST_SIDE}], got {tuple(resolution)}")
    batched = _batched_pos(pos)
    slow = choose(backend, "rasterize", _rasterize_torch, pos, tri)
    run = _rasterize_cpp if compiled(backend, pos) else slow
    return run(batched, tri, height, width)


def interpolate(
    attr: Float[Tensor, "*B V A"],
    rast: Float[Tensor, "_B H W 4"],
    tri: Int[Tensor, "T 3"],
    rast_db: Float[Tensor, "_B H W 4"] | None = None,
    diff_attrs: Sequence[int] | Literal["all"] | None = None,
    *,
    backend: Backend = "auto",
) -> tuple[Float[Tensor, "_B H W A"], Float[Tensor, "_B H W D2"]]:
    """Interpolate vertex attributes per pixel, zero where `rast` is empty, and their derivatives `out_da`.

    `attr` is "B V A", or "1 V A" or "V A" for the same attributes in all images. `diff_attrs` are the indices of the
    attributes with image-space derivatives: (dA/dX, dA/dY) of each in turn, 2 * len(diff_attrs) channels; requires
    `rast_db`. Without either, `out_da` has no channels. Gradients flow to `attr`, to u and v of `rast`, to `rast_db`.

    Raises:
        ValueError: a shape or the type of `tri` (int32) is wrong, an index of `diff_attrs` is out of range, or `rast`
            has
            triangles that are not in `tri` (checked where it needs no transfer).
    """
    _expect_tri(tri)
    _expect_rast(rast)
    batched = attr[None] if attr.ndim == 2 else attr
    expect("attr", batched, (len(batched) if len(batched) == 1 else len(rast), *batched.shape[1:3]))
    chosen: list[int] = []
    if rast_db is not None and diff_attrs is not None:
        expect("rast_db", rast_db, tuple(rast.shape))
        chosen = list(range(batched.shape[-1])) if diff_attrs == "all" else [int(number) for number in diff_attrs]
    if any(not 0 <= number < batched.shape[-1] for number in chosen):
        raise ValueError(f"diff_attrs: numbers must lie in [0, {batched.shape[-1]}), got {chosen}")
    slow = choose(backend, "interpolate", _interpolate_torch, attr, rast, tri)
    run = _interpolate_cpp if compiled(backend, attr, rast) else slow
    slopes = torch.zeros_like(rast) if rast_db is None or not chosen else rast_db
    return run(batched, rast, tri, slopes, chosen)


def texture(
    tex: Float[Tensor, "T_B h w C"],
    uv: Float[Tensor, "B H W 2"],
    uv_da: Float[Tensor, "B H W 4"] | None = None,
    mip_level_bias: Float[Tensor, "B H W"] | None = None,
    mips: Sequence[Float[Tensor, "T_B _h _w C"]] | None = None,
    filter_mode: FilterMode | Literal["auto"] = "auto",
    boundary_mode: BoundaryMode = "wrap",
    max_mip_level: int | None = None,
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "B H W C"]:
    """Sample a texture at `uv`, prefiltered according to the footprint `uv_da`.

    (0, 0) to (1, 1) spans the texture, u along its columns and v along its rows, from row 0; texel centres are at (i +
    0.5) / size. `tex` may have a batch of 1 for all images. The mip level is log2 of the longer axis of the pixel's
    footprint in texels (`uv_da`: du/dX, du/dY, dv/dX, dv/dY, as returned by `interpolate`), plus `mip_level_bias`;
    without `uv_da` the bias is the level. It is clamped to the existing levels.

    Filters: `nearest`; `linear` (four texels); `linear-mipmap-nearest` (nearest level); `linear-mipmap-linear` (two
    levels); `auto` is the last if there is `uv_da` or a bias, else `linear`. Beyond the border, `wrap` repeats the
    texture, `clamp` repeats its outermost texels, `zero` is 0.

    Gradients flow to `tex` and `mips`, to `uv` (not with `nearest`), and to `uv_da` and `mip_level_bias`
    (`linear-mipmap-linear`; none where the level is clamped).

    Args:
        mips: levels 1, 2, ... as returned by `mipmaps`; None builds them, which can be avoided for a constant texture.
        max_mip_level: coarsest level to build and use; None means down to one texel.

    Raises:
        ValueError: a shape is wrong; or levels have to be built and a side is neither even nor 1 (see `mipmaps`); or a
            mipmap filter is requested without `uv_da` and `mip_level_bias`.
    """
    levelled = uv_da is not None or mip_level_bias is not None
    if filter_mode == "auto":
        filter_mode = "linear-mipmap-linear" if levelled else "linear"
    _expect_texture(tex, uv, uv_da, mip_level_bias)
    levels, level = [tex], None
    if filter_mode.startswith("linear-mipmap"):
        if not levelled:
            raise ValueError(f"filter_mode: {filter_mode!r} needs uv_da or mip_level_bias")
        levels += mipmaps(tex, max_mip_level) if mips is None else _checked_mips(tex, mips)[:max_mip_level]
        level = torch.zeros_like(uv[..., 0]) if uv_da is None else footprint_level(uv_da, *tex.shape[1:3])
        level = level if mip_level_bias is None else level + mip_level_bias
        level = level.clamp(0.0, len(levels) - 1.0)
    slow = choose(backend, "texture", _texture_torch, tex, uv)
    run = _texture_cpp if compiled(backend, tex, uv) else slow
    return run(levels, uv, level, filter_mode, boundary_mode)


def mipmaps(tex: Float[Tensor, "T_B h w C"], max_mip_level: int | None = None) -> list[Float[Tensor, "T_B _h _w C"]]:
    """Return levels 1, 2, ... of a texture, each the mean of 2 by 2 texels of the previous one, down to one texel.

    Raises:
        ValueError: a side of a level to be halved is neither even nor 1. Scale the texture to powers of two, or limit
            `max_mip_level`; stopping silently would leave the texture unfiltered.
    """
    levels: list[Tensor] = []
    coarsest = tex
    while max(coarsest.shape[1:3]) > 1 and (max_mip_level is None or len(levels) < max_mip_level):
        if any(side > 1 and side % 2 for side in coarsest.shape[1:3]):
            raise ValueError(
                f"tex: level {len(levels)} is {coarsest.shape[1]} by {coarsest.shape[2]} texels and cannot be halved; "
                f"scale the texture to powers of two or set max_mip_level={len(levels)}"
            )
        coarsest = mipmap(coarsest)
        levels.append(coarsest)
    return levels


def antialias(
    color: Float[Tensor, "B H W C"],
    rast: Float[Tensor, "B H W 4"],
    pos: Float[Tensor, "*_B V 4"],
    tri: Int[Tensor, "T 3"],
    opposite: Int[Tensor, "T 3"] | None = None,
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "B H W C"]:
    """Blend neighbouring pixels across silhouette edges, according to where the edge crosses between their centres.

    For horizontally or vertically adjacent pixels with different triangles: if the nearer surface ends between the two
    centres at a silhouette edge (an edge of one triangle, or of two of which one folds behind the other), the pixel in
    which it ends is blended with the other's colour in proportion to the distance from the edge to the pixel border.
    Edges steeper than 45 degrees act on horizontal pairs, others on vertical pairs, so that coverage is counted once.
    The surface is followed from the nearer pixel's triangle over up to eight triangles; parts that cover no pixel
    centre (a sliver, the tip of a corner) are not found.

    This makes the image continuous in `pos`: gradients flow to `color` and, through the crossings, to `pos`.

    Args:
        rast, pos, tri: inputs and result of the rasterisation.
        opposite: `topology(tri)`; None builds it, which can be avoided for constant triangles.

    Raises:
        ValueError: a shape or the type of `tri` (int32) is wrong, or an index is out of range (checked where it needs
            no
            transfer).
    """
    _expect_tri(tri)
    _expect_rast(rast)
    expect("color", color, (*rast.shape[:3], *color.shape[3:4]))
    batched = _batched_pos(pos)
    expect("pos", batched, (len(rast), batched.shape[1], 4))
    across = topology(tri) if opposite is None else opposite
    expect("opposite", across, tuple(tri.shape))
    slow = choose(backend, "antialias", _antialias_torch, color, rast, pos, tri)
    run = _antialias_cpp if compiled(backend, color, rast, pos) else slow
    return run(color, rast, batched, tri, across)


def topology(tri: Int[Tensor, "T 3"]) -> Int[Tensor, "T 3"]:
    """Return the adjacent triangle corner across the edge opposite each corner i of each triangle.

    The value is 3 t + j for corner j of triangle t, which is opposite the same edge, so that `tri.flatten()` at it is
    the vertex; -1 where the edge belongs to one triangle only, or to more than two. Vertices are identified by index:
    where a mesh duplicates vertices along texture seams, pass `antialias` triangles that index positions without
    duplicates.

    Raises:
        ValueError: the shape or the type (int32) is wrong.
    """
    _expect_tri(tri)
    return _topology_torch(tri)


def _batched_pos(pos: Float[Tensor, "*B V 4"]) -> Float[Tensor, "_B V 4"]:
    if pos.ndim not in (2, 3) or pos.shape[-1] != 4:
        raise ValueError(f"pos: expected shape (B, V, 4) or (V, 4), got {tuple(pos.shape)}")
    return pos[None] if pos.ndim == 2 else pos


def _expect_tri(tri: Tensor) -> None:
    expect("tri", tri, (len(tri), 3))
    if tri.dtype != torch.int32:
        raise ValueError(f"tri: expected int32, got {tri.dtype}")
    if len(tri) > LARGEST_TRIANGLE_COUNT:
        raise ValueError(f"tri: at most {LARGEST_TRIANGLE_COUNT} triangles, got {len(tri)}")


def _expect_rast(rast: Tensor) -> None:
    if rast.ndim != 4:
        raise ValueError(f"rast: expected shape (B, H, W, 4), got {tuple(rast.shape)}")
    expect("rast", rast, (*rast.shape[:3], 4))


def _expect_texture(tex: Tensor, uv: Tensor, uv_da: Tensor | None, mip_level_bias: Tensor | None) -> None:
    image = tuple(uv.shape[:3])
    expect("uv", uv, (*image, 2))
    expect("tex", tex, (1 if len(tex) == 1 else len(uv), *tex.shape[1:4]))
    if uv_da is not None:
        expect("uv_da", uv_da, (*image, 4))
    if mip_level_bias is not None:
        expect("mip_level_bias", mip_level_bias, image)


def _checked_mips(tex: Tensor, mips: Sequence[Tensor]) -> list[Tensor]:
    for number, mip in enumerate(mips, start=1):
        sides = (max(side >> number, 1) for side in tex.shape[1:3])
        expect(f"mips[{number - 1}]", mip, (len(tex), *sides, tex.shape[3]))
    return list(mips)
