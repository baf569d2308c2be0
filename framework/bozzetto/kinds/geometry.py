"""Geometry protocol: shape and features as functions of position. A `torch.nn.Module` over world coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.types import FieldOutput, TriangleMesh

__all__ = ["Geometry", "GivenMesh", "MadeFromSaved", "MeshGeometry", "module"]


@runtime_checkable
class Geometry(Protocol):
    """Geometry model. Constructor: `Geometry(config)`.

    Initial weights come from torch's seeded default generator. The manifest's `provides` is a subset of `{"density",
    "sdf", "features", "normal"}`.
    """

    radius: float
    """Half side of the cube [-radius, radius]^3 that contains the field, in world units. Density is 0 outside."""
    feature_count: int
    """Number of features F, the width of `FieldOutput.features`."""

    def __call__(self, points: Float[Tensor, "S 3"], normal: bool = False) -> FieldOutput:
        """Return density, sdf or both, features, and the normal if requested, at world points. S may be 0."""

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        """Return the density only; cheaper than `__call__`, for occupancy grids and mesh extraction."""

    def set_step(self, step: int) -> None:
        """Update schedules, such as the number of active levels. Called before each step and after a resume."""

    def total_variation(self) -> Float[Tensor, ""]:
        """Return the mean squared difference between neighbouring grid parameters; 0 without a grid."""


@runtime_checkable
class MeshGeometry(Geometry, Protocol):
    """Geometry represented by a surface mesh: its manifest provides `mesh`. Its `features` are defined on the surface.

    A surface has no thickness, so `density` is 0 everywhere; only a mesh renderer can render it, not a volume renderer.
    """

    def extract_mesh(self) -> TriangleMesh:
        """Return the current surface: vertices in world units, faces counter-clockwise from outside, no UVs.

        Vertices carry gradients to the parameters that shape them, if any. The mesh may have no faces; this is not an
        error.
        """

    def surface_features(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S F"]:
        """Return the features at world points on the surface, for renderers and exporters."""


@runtime_checkable
class GivenMesh(MeshGeometry, Protocol):
    """Mesh geometry whose triangles were given by the user; exporters keep them unless configured otherwise."""

    triangles_are_given: bool
    """True if exporters should keep the triangles."""


@runtime_checkable
class MadeFromSaved(Protocol):
    """Geometry that reads files when it is constructed, but can be restored from a checkpoint without them."""

    @classmethod
    def from_saved(cls, config: Any, state: Mapping[str, Tensor]) -> Geometry:
        """Construct a geometry into which `state`, its part of a checkpoint, can be loaded; opens no file."""


def module(geometry: Geometry) -> nn.Module:
    """Return the geometry as `nn.Module`."""
    if not isinstance(geometry, nn.Module):
        raise TypeError(f"geometry {type(geometry).__name__} must be a torch.nn.Module")
    return geometry
