"""Placement of an object in a file: its origin, its size in metres, and the up axis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.types import TriangleMesh

Origin = Literal["none", "center", "bottom"]

Y_UP = ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
"""Rotation from world (z up, front +x) to y up, front +z: (x, y, z) -> (y, z, x); glTF's axes, customary for OBJ."""
Z_UP = ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
"""Rotation from world to z up, front -y: (x, y, z) -> (y, -x, z). Blender and slicers assume these axes for PLY and
STL, so that every format opens in Blender in the same pose."""
AXES = {".glb": Y_UP, ".obj": Y_UP, ".ply": Z_UP, ".stl": Z_UP}
"""File axes by suffix; all are rotations, without reflection."""


@dataclass(frozen=True)
class Placement:
    """Map from world to file coordinates: metres = scale * (world - origin), before rotating the axes."""

    origin: Float[Tensor, "3"]
    """World position of the file's origin."""
    scale: float
    """Metres per world unit."""

    @classmethod
    def of(cls, mesh: TriangleMesh, origin: Origin, scale: float) -> Placement:
        """Place the origin at the world's (`none`), the bounding box's centre (`center`) or floor (`bottom`)."""
        low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
        middle = 0.5 * (low + high)
        choices = {"none": torch.zeros_like(middle), "center": middle, "bottom": torch.cat([middle[:2], low[2:]])}
        return cls(choices[origin], scale)

    def apply(self, mesh: TriangleMesh) -> TriangleMesh:
        """Convert the mesh from world units to metres."""
        return replace(mesh, vertices=self.scale * (mesh.vertices - self.origin))

    def undo(self, mesh: TriangleMesh) -> TriangleMesh:
        """Convert the mesh from metres to world units."""
        return replace(mesh, vertices=mesh.vertices / self.scale + self.origin)


def to_file_axes(vectors: Float[Tensor, "V 3"], path: Path) -> Float[Tensor, "V 3"]:
    """Rotate world vectors to the axes that readers of this suffix expect."""
    return vectors @ vectors.new_tensor(AXES[path.suffix]).T


def from_file_axes(vectors: Float[Tensor, "V 3"], path: Path) -> Float[Tensor, "V 3"]:
    """Rotate vectors of a file back to world axes; inverse of `to_file_axes`."""
    return vectors @ vectors.new_tensor(AXES[path.suffix])
