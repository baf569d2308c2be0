"""Mesh rendering with nvdiffrast 0.4. Optional: its licence allows research and evaluation only.

Arguments are those of the torch references in `kernels/ref`, checked by `bozzetto.kernels.mesh`; the conventions are
nvdiffrast's. Types other than float32 and empty meshes or batches use the torch references.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.cuda.packages import package
from bozzetto.kernels.ref import antialias as antialias_reference
from bozzetto.kernels.ref import interpolate as interpolate_reference
from bozzetto.kernels.ref import rasterize as rasterize_reference
from bozzetto.kernels.ref import texture as texture_reference
from bozzetto.kernels.ref.texture import BoundaryMode, FilterMode
from bozzetto.kernels.settings import Package

PACKAGE: Package = "nvdiffrast"

MAX_DIFF_ATTRS = 32
"""Maximum number of selected attributes with derivatives; selecting all has no limit."""


def rasterize(
    pos: Float[Tensor, "B V 4"], tri: Int[Tensor, "T 3"], height: int, width: int
) -> tuple[Float[Tensor, "B H W 4"], Float[Tensor, "B H W 4"]]:
    """Form of `bozzetto.kernels.ref.rasterize.rasterize` with nvdiffrast; depth test in fixed point, not float64."""
    if not _takes(pos, tri):
        return rasterize_reference.rasterize(pos, tri, height, width)
    context, size = _context(pos.device), (height, width)
    rast, rast_db = package(PACKAGE).rasterize(context, pos.contiguous(), tri.contiguous(), size)
    return rast, rast_db


def interpolate(
    attr: Float[Tensor, "A_B V A"],
    rast: Float[Tensor, "B H W 4"],
    tri: Int[Tensor, "T 3"],
    rast_db: Float[Tensor, "B H W 4"],
    diff_attrs: Sequence[int],
) -> tuple[Float[Tensor, "B H W A"], Float[Tensor, "B H W D2"]]:
    """Form of `bozzetto.kernels.ref.interpolate.interpolate` with nvdiffrast."""
    chosen = list(diff_attrs)
    every = chosen == list(range(attr.shape[-1]))
    if not _takes(attr, rast, tri) or (len(chosen) > MAX_DIFF_ATTRS and not every):
        return interpolate_reference.interpolate(attr, rast, tri, rast_db, diff_attrs)
    inputs = (attr.contiguous(), rast.contiguous(), tri.contiguous())
    if not chosen:
        out, out_da = package(PACKAGE).interpolate(*inputs)
    else:
        which = "all" if every else chosen
        out, out_da = package(PACKAGE).interpolate(*inputs, rast_db=rast_db.contiguous(), diff_attrs=which)
    return out, out_da


def texture(
    levels: Sequence[Float[Tensor, "T_B _h _w C"]],
    uv: Float[Tensor, "B H W 2"],
    level: Float[Tensor, "B H W"] | None,
    filter_mode: FilterMode,
    boundary_mode: BoundaryMode,
) -> Float[Tensor, "B H W C"]:
    """Form of `bozzetto.kernels.ref.texture.texture` with nvdiffrast; uses the given mip level, not a footprint."""
    if not _takes(*levels, uv):
        return texture_reference.texture(levels, uv, level, filter_mode, boundary_mode)
    tex, *mips = [item.contiguous() for item in levels]
    sampled: Tensor
    if level is None or not mips:
        flat = "nearest" if filter_mode == "nearest" else "linear"
        sampled = package(PACKAGE).texture(tex, uv.contiguous(), filter_mode=flat, boundary_mode=boundary_mode)
    else:
        sampled = package(PACKAGE).texture(
            tex, uv.contiguous(), mip_level_bias=level.contiguous(), mip=mips, filter_mode=filter_mode,
            boundary_mode=boundary_mode,
        )  # fmt: skip
    return sampled


def antialias(
    color: Float[Tensor, "B H W C"],
    rast: Float[Tensor, "B H W 4"],
    pos: Float[Tensor, "B V 4"],
    tri: Int[Tensor, "T 3"],
    opposite: Int[Tensor, "T 3"],
) -> Float[Tensor, "B H W C"]:
    """Form of `bozzetto.kernels.ref.antialias.antialias` with nvdiffrast; rebuilds the topology at each call."""
    if not _takes(color, rast, pos, tri):
        return antialias_reference.antialias(color, rast, pos, tri, opposite)
    inputs = (color.contiguous(), rast.contiguous(), pos.contiguous(), tri.contiguous())
    smooth: Tensor = package(PACKAGE).antialias(*inputs)
    return smooth


def _takes(*tensors: Tensor) -> bool:
    """Return whether no tensor is empty and all are float32 or int32."""
    return all(item.numel() > 0 and item.dtype in (torch.float32, torch.int32) for item in tensors)


@functools.lru_cache(maxsize=8)
def _context(device: torch.device) -> Any:
    """Return the rasteriser's context of a device; its buffers grow as needed and are kept."""
    return package(PACKAGE).RasterizeCudaContext(device=device)
