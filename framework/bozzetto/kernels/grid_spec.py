"""The shape of a multiresolution hash grid: scales, resolutions, offsets and index rule in one place. No torch here."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, cast, get_args

Interpolation = Literal["linear", "smoothstep"]

HASH_PRIMES = (1, 2654435761, 805459861)
"""Instant NGP, eq. 4: the hash of a vertex is the exclusive or of coordinate times prime, modulo 2^32."""

ENTRY_ALIGNMENT = 8
"""The entries of a level are padded to a multiple of this."""

FEATURE_COUNTS = (1, 2, 4, 8)
"""The widths of an entry that kernels are compiled for."""

MAX_RESOLUTION = 1 << 19
"""Beyond this a float32 coordinate no longer tells neighbouring cells apart by much."""


@dataclass(frozen=True)
class GridLevel:
    """One level. A point x in [0, 1]^3 lies at `x * scale + 0.5` in units of this level's cells."""

    scale: float
    """Cells per unit length; exactly representable in float32."""
    resolution: int
    """Vertices per axis."""
    offset: int
    """Row of the table at which this level starts."""
    size: int
    """Rows of the table that belong to this level."""
    hashed: bool
    """True: a vertex is found by its hash modulo `size`. False: by `x + y resolution + z resolution^2`, likewise."""


@dataclass(frozen=True)
class GridSpec:
    """A multiresolution hash grid (Mueller et al. 2022, Instant Neural Graphics Primitives, sec. 3).

    Follows tiny-cuda-nn's conventions to the letter (encodings/grid.h: scale, resolution, padding, dense indices where
    they fit, else the hash; half-cell shift; wrap-around of dense indices at the far border), so that a table can move
    between implementations.
    """

    levels: int = 16
    """Number of resolutions."""
    features: int = 2
    """Numbers per entry: 1, 2, 4 or 8."""
    log2_table_size: int = 15
    """At most 2 to this power entries per level."""
    base_resolution: int = 16
    """Vertices per axis of the coarsest level."""
    growth: float = 1.4472692012786865
    """Ratio of one level's resolution to the previous one's."""
    interpolation: Interpolation = "linear"
    """`smoothstep` makes the field continuously differentiable."""

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
        _ = self.table, self.text  # worked out now: while a program is being compiled it could not be

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
        """The grid whose last level has `finest_resolution` vertices per axis (Instant NGP, eq. 3)."""
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
        """The grid whose `text` this is."""
        levels, features, log2_table_size, base_resolution, growth, interpolation = text.split()
        sizes = (int(levels), int(features), int(log2_table_size), int(base_resolution))
        return cls(*sizes, float(growth), cast(Interpolation, interpolation))  # `text` wrote one

    @cached_property
    def text(self) -> str:
        """All fields in order, to the last digit: how a grid travels through an operator's arguments."""
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
        """P, the rows of the table."""
        return self.table[-1].offset + self.table[-1].size

    @property
    def feature_count(self) -> int:
        """The width of an encoded point: levels times features."""
        return self.levels * self.features


def _float32(value: float) -> float:
    """Rounded to float32: all implementations see one scale, and powers of `growth` that are whole come out whole."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded
