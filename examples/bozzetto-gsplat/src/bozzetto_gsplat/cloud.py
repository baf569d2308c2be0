"""Record passed from the geometry to the renderer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Cloud:
    """N Gaussians in world space; Gaussian i has covariance R_i diag(scale_i^2) R_i^T."""

    position: Float[Tensor, "N 3"]
    scale: Float[Tensor, "N 3"]
    """Standard deviations along the Gaussian's own axes, world units."""
    quaternion: Float[Tensor, "N 4"]
    """Rotation from the Gaussian's own axes to the world's: w, x, y, z, unit length."""
    opacity: Float[Tensor, "N"]
    """Opacity of a ray through the centre, in [0, 1)."""
    features: Float[Tensor, "N F"]
    """Raw material features, before any activation."""

    def __len__(self) -> int:
        return len(self.position)

    @property
    def rotation(self) -> Float[Tensor, "N 3 3"]:
        """Rotation matrices of the quaternions; columns are the Gaussians' own axes."""
        w, x, y, z = self.quaternion.unbind(-1)
        rows = [
            torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=-1),
            torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=-1),
            torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1),
        ]
        return torch.stack(rows, dim=-2)

    def normal_toward(self, eye: Float[Tensor, "3"]) -> Float[Tensor, "N 3"]:
        """Return the shortest axis of each Gaussian, facing `eye`: a flat Gaussian is a surfel."""
        shortest = self.scale.argmin(dim=-1)[:, None, None].expand(-1, 3, 1)
        axis = self.rotation.gather(2, shortest)[..., 0]
        facing = (axis * (eye - self.position)).sum(dim=-1, keepdim=True) >= 0.0
        return torch.where(facing, axis, -axis)

    def rows(self, some: Bool[Tensor, "N"] | Int[Tensor, "M"]) -> Cloud:
        """Return a subset of the Gaussians."""
        return Cloud(
            self.position[some], self.scale[some], self.quaternion[some], self.opacity[some], self.features[some]
        )


@runtime_checkable
class MadeOfGaussians(Protocol):
    """Interface of a geometry whose manifest provides `gaussians`."""

    def cloud(self) -> Cloud:
        """Return the current Gaussians, with gradients to the parameters."""

    def relocate(self, dead_below: float, generator: torch.Generator) -> int:
        """Move Gaussians of opacity below `dead_below` onto visible ones; return the number moved."""
