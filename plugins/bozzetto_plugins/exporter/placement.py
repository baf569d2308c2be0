"""Where an object lies in a file: its origin, its size in metres, and which axis is up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.types import Mesh

Origin = Literal["none", "center", "bottom"]

Y_UP = ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
"""World (z up, front +x) to y up, front +z: (x, y, z) -> (y, z, x). glTF says so, readers of OBJ assume it."""
Z_UP = ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
"""World to z up, front -y: (x, y, z) -> (y, -x, z). Blender and slicers assume it for PLY and STL, so that every format
opens in Blender in one pose."""
AXES = {".glb": Y_UP, ".obj": Y_UP, ".ply": Z_UP, ".stl": Z_UP}
"""By suffix; each is a rotation, so nothing is mirrored."""


@dataclass(frozen=True)
class Placement:
    """metres in the file = scale * (world - origin), before the axes are turned."""

    origin: Float[Tensor, "3"]
    """World position of the file's origin."""
    scale: float
    """Metres per world unit."""

    @classmethod
    def of(cls, mesh: Mesh, origin: Origin, scale: float) -> Placement:
        """`none` keeps the world's origin; `center` is the middle of the bounding box, `bottom` that of its floor."""
        low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
        middle = 0.5 * (low + high)
        choices = {"none": torch.zeros_like(middle), "center": middle, "bottom": torch.cat([middle[:2], low[2:]])}
        return cls(choices[origin], scale)

    def apply(self, mesh: Mesh) -> Mesh:
        """The mesh in metres."""
        return replace(mesh, vertices=self.scale * (mesh.vertices - self.origin))

    def undo(self, mesh: Mesh) -> Mesh:
        """The mesh in world units."""
        return replace(mesh, vertices=mesh.vertices / self.scale + self.origin)


def to_file_axes(vectors: Float[Tensor, "V 3"], path: Path) -> Float[Tensor, "V 3"]:
    """Turn world vectors to the axes that readers of this suffix expect."""
    return vectors @ vectors.new_tensor(AXES[path.suffix]).T


def from_file_axes(vectors: Float[Tensor, "V 3"], path: Path) -> Float[Tensor, "V 3"]:
    """The way back."""
    return vectors @ vectors.new_tensor(AXES[path.suffix])
