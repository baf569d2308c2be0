"""Layout of a multiresolution hash grid: scales, resolutions, offsets and index rule. No torch."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, cast, get_args

__all__ = ["FEATURE_COUNTS", "HASH_PRIMES", "MAX_RESOLUTION", "GridLevel", "GridSpec", "Interpolation"]

Interpolation = Literal["linear", "smoothstep"]

HASH_PRIMES = (1, 2654435761, 805459861)
"""Primes of the spatial hash (Instant NGP, eq. 4): XOR of coordinate times prime, modulo 2^32."""

ENTRY_ALIGNMENT = 8
"""The entries of a level are padded to a multiple of this."""

FEATURE_COUNTS = (1, 2, 4, 8)
"""Features per entry that kernels are compiled for."""

MAX_RESOLUTION = 1 << 19
"""Maximum resolution; float32 coordinates hardly distinguish neighbouring cells beyond it."""


@dataclass(frozen=True)
class GridLevel:
    """Level of a hash grid. A point x in [0, 1]^3 is at `x * scale + 0.5` in units of this level's cells."""

    scale: float
    """Cells per unit length; exactly representable in float32."""
    resolution: int
    """Vertices per axis."""
    offset: int
    """First row of this level in the table."""
    size: int
    """Number of rows of this level."""
    hashed: bool
    """Index rule: True uses the hash modulo `size`, False uses `x + y resolution + z resolution^2` modulo `size`."""


@dataclass(frozen=True)
class GridSpec:
    """Multiresolution hash grid (Mueller et al. 2022, Instant Neural Graphics Primitives, sec. 3).

    Follows tiny-cuda-nn's conventions exactly (encodings/grid.h: scale, resolution, padding, dense indices where they
    fit, else the hash; half-cell shift; wrap-around of dense indices at the far border), so that tables are portable
    between implementations.
    """

    levels: int = 16
    """Number of levels, 1 to 32."""
    features: int = 2
    """Features per entry: 1, 2, 4 or 8."""
    log2_table_size: int = 15
    """log2 of the maximum number of entries per level, 3 to 24."""
    base_resolution: int = 16
    """Vertices per axis of the coarsest level."""
    growth: float = 1.4472692012786865
    """Resolution ratio between successive levels."""
    interpolation: Interpolation = "linear"
    """Interpolation weights; `smoothstep` makes the field continuously differentiable."""

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= 32:
            raise ValueError(f"levels: must lie in [1, 32], got {self.levels}")
        if self.features not in FEATURE_COUNTS:
            raise ValueError(f"features: must be one of {', '.join(map(str, FEATURE_COUNTS))}, got {self.features}")
        if not 3 <= self.log2_table_size <= 24:
            raise ValueError(f"log2_table_size: must lie in [3, 24], got {self.log2_table_size}")
        if not 2 <= self.base_resolution <= MAX_RESOLUTION:
            raise ValueError(f"base_resolution: must lie in [2, {MAX_RESOLUTION}], got {self.base_resolution}")
        if not 1.0 <= self.growth <= MAX_RESOLUTION:
            raise ValueError(f"growth: must lie in [1, {MAX_RESOLUTION}], got {self.growth}")
        if self.interpolation not in get_args(Interpolation):
            raise ValueError(
                f"interpolation: must be one of {', '.join(get_args(Interpolation))}, got {self.interpolation!r}"
            )
        finest = self.base_resolution * self.growth ** (self.levels - 1)
        if finest > MAX_RESOLUTION:
            raise ValueError(f"growth: makes the finest resolution {finest:.3g}, more than {MAX_RESOLUTION}")
        _ = self.table, self.text  # computed here, since it cannot be during torch.compile

    @classmethod
    def up_to(
        cls,
        finest_resolution: int,
        *,
        levels: int = 16,
        features: int = 2,
        log2_table_size: int = 15,
        base_resolution: int = 16,
        interpolation: Interpolation = "linear",
    ) -> GridSpec:
        """Return the grid whose finest level has `finest_resolution` vertices per axis (Instant NGP, eq. 3)."""
        if not 2 <= base_resolution <= finest_resolution:
            raise ValueError(
                f"finest_resolution: must be at least base_resolution ({base_resolution}), got {finest_resolution}"
            )
        if not finest_resolution <= MAX_RESOLUTION:
            raise ValueError(f"finest_resolution: must be at most {MAX_RESOLUTION}, got {finest_resolution}")
        growth = (finest_resolution / base_resolution) ** (1.0 / max(levels - 1, 1))
        return cls(levels, features, log2_table_size, base_resolution, growth, interpolation)

    @classmethod
    def from_text(cls, text: str) -> GridSpec:
        """Parse a grid from its `text`."""
        levels, features, log2_table_size, base_resolution, growth, interpolation = text.split()
        sizes = (int(levels), int(features), int(log2_table_size), int(base_resolution))
        return cls(*sizes, float(growth), cast(Interpolation, interpolation))  # `text` wrote one

    @cached_property
    def text(self) -> str:
        """All fields in order at full precision; passes a grid through operator arguments."""
        return " ".join(str(getattr(self, field.name)) for field in fields(self))

    @cached_property
    def table(self) -> tuple[GridLevel, ...]:
        """All levels, coarsest first."""
        found: list[GridLevel] = []
        offset = 0
        for level in range(self.levels):
            scale = _float32(self.base_resolution * self.growth**level - 1.0)
            resolution = math.ceil(scale) + 1
            capacity = 1 << self.log2_table_size
            dense = resolution**3
            padded = -(-dense // ENTRY_ALIGNMENT) * ENTRY_ALIGNMENT
            found.append(GridLevel(scale, resolution, offset, min(padded, capacity), hashed=dense > capacity))
            offset += found[-1].size
        return tuple(found)

    @property
    def entry_count(self) -> int:
        """Number of rows P of the table."""
        return self.table[-1].offset + self.table[-1].size

    @property
    def feature_count(self) -> int:
        """Width of an encoded point: levels times features."""
        return self.levels * self.features


def _float32(value: float) -> float:
    """Round to float32, so that all implementations use equal scales and integer powers of `growth` stay integers."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded
