"""Torch reference of the hash encoding (Mueller et al. 2022, Instant Neural Graphics Primitives, sec. 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.kernels.first_order import in_chunks
from bozzetto.kernels.grid_spec import HASH_PRIMES, GridLevel, GridSpec

CORNERS = tuple((x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1))


def hash_encode(points: Float[Tensor, "N 3"], table: Float[Tensor, "P F"], spec: GridSpec) -> Float[Tensor, "N LF"]:
    """Interpolate each level's eight surrounding entries (trilinear or smoothstep) and concatenate the levels.

    Differentiable any number of times in points and table. Points outside [0, 1] are clamped and get no gradient.
    """
    (encoded,) = in_chunks(lambda at, entries: (_encode(at, entries, spec),), points, table)
    return encoded


def _encode(points: Float[Tensor, "N 3"], table: Float[Tensor, "P F"], spec: GridSpec) -> Float[Tensor, "N LF"]:
    inside = points.clamp(0.0, 1.0)
    corners = torch.tensor(CORNERS, device=points.device)
    entries = table.split([level.size for level in spec.table])  # split: its gradient is assembled once, not per level
    levels = zip(spec.table, entries, strict=True)
    return torch.cat([_encode_level(inside, own, level, spec, corners) for level, own in levels], dim=-1)


def vertex_index(vertex: Int[Tensor, "*N 3"], level: GridLevel) -> Int[Tensor, "*N"]:
    """Return the table row of each vertex, relative to the level's first row."""
    x, y, z = vertex.unbind(-1)
    if level.hashed:
        mixed = (x * HASH_PRIMES[0]) ^ (y * HASH_PRIMES[1]) ^ (z * HASH_PRIMES[2])
        return mixed & (level.size - 1)
    return (x + level.resolution * (y + level.resolution * z)).remainder(level.size)


def _encode_level(
    points: Float[Tensor, "N 3"],
    entries: Float[Tensor, "P F"],
    level: GridLevel,
    spec: GridSpec,
    corners: Int[Tensor, "8 3"],
) -> Float[Tensor, "N F"]:
    position = points * level.scale + 0.5
    cell = position.detach().floor()
    fraction = position - cell
    if spec.interpolation == "smoothstep":
        fraction = fraction * fraction * (3.0 - 2.0 * fraction)
    weight = torch.where(corners.bool(), fraction[:, None], 1.0 - fraction[:, None]).prod(dim=-1)
    row = vertex_index(cell.long()[:, None] + corners, level)
    found: Tensor = entries.index_select(0, row.flatten()).unflatten(0, row.shape)
    return (weight[..., None] * found).sum(dim=1)
