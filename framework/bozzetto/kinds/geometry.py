"""Geometry: what is where. A `torch.nn.Module` over points in world coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.types import FieldOutput, Mesh


@runtime_checkable
class Geometry(Protocol):
    """Constructor: `Geometry(config)`. Initial weights come from torch's seeded default generator.

    Declares in its manifest `provides` out of `{"density", "sdf", "features", "normal"}`.
    """

    radius: float
    """Half side of the cube [-radius, radius]^3 the field lives in, world units. Density is 0 outside."""
    feature_count: int
    """F, the width of `FieldOutput.features`."""

    def __call__(self, points: Float[Tensor, "S 3"], normal: bool = False) -> FieldOutput:
        """Density (or sdf), features, and the normal if asked, at world points. S may be 0."""

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        """Density alone: cheaper than `__call__`; used by occupancy grids and mesh extraction."""

    def set_step(self, step: int) -> None:
        """Follow schedules, e.g. unlock finer levels. Called before each training step and after a resume."""

    def total_variation(self) -> Float[Tensor, ""]:
        """Mean squared difference between neighbouring parameters of a grid; 0 where there is no grid."""


@runtime_checkable
class MeshGeometry(Geometry, Protocol):
    """A geometry that is a surface: its manifest provides `mesh`. Its `features` are meant on that surface.

    A surface has no thickness, so `density` is 0 everywhere; a mesh renderer draws it, a volume renderer cannot.
    """

    def extract_mesh(self) -> Mesh:
        """The surface as it is now: vertices in world units, faces counter-clockwise from outside, no UVs.

        Vertices carry gradients to the parameters that shape them, if any. There may be no faces: never an error here.
        """

    def surface_features(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S F"]:
        """Features alone at world points: what a renderer or exporter asks of points on the surface."""


@runtime_checkable
class GivenMesh(MeshGeometry, Protocol):
    """A surface whose triangles are the user's own: an exporter keeps them as they are unless it is asked not to."""

    triangles_are_given: bool
    """True where an exporter shall keep them."""


@runtime_checkable
class MadeFromSaved(Protocol):
    """A geometry that reads files when it is constructed, and can do without them where a checkpoint holds it."""

    @classmethod
    def from_saved(cls, config: Any, state: Mapping[str, Tensor]) -> Geometry:
        """A geometry into which `state`, its own part of a checkpoint, can be loaded; opens no file."""


def module(geometry: Geometry) -> nn.Module:
    """The geometry as the `nn.Module` it is."""
    if not isinstance(geometry, nn.Module):
        raise TypeError(f"geometry {type(geometry).__name__} must be a torch.nn.Module")
    return geometry
