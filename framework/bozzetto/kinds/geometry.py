"""Geometry protocol: shape and features as functions of position. A `torch.nn.Module` over world coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from bozzetto.types import FieldOutput, TriangleMesh

__all__ = ["Adaptive", "Geometry", "GivenMesh", "MadeFromSaved", "MeshGeometry", "RowChange", "module"]


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


@dataclass(frozen=True)
class RowChange:
    """New rows of one parameter; a row is an index of the first dimension."""

    values: Shaped[Tensor, "M ..."]
    """Values of the M >= 1 new rows; type, device and further dimensions are those of the parameter."""
    source: Int[Tensor, "M"]
    """Old row from which each new row comes; its optimiser state goes with it."""
    fresh: Bool[Tensor, "M"]
    """True for new rows that begin with an optimiser state of zeros instead."""


@runtime_checkable
class Adaptive(Protocol):
    """Geometry that changes the number of rows of its parameters between steps, such as Gaussians that are split.

    Only `adapt` may change the number of rows; everything else that replaces or resizes a parameter ends the training.
    Only parameters and buffers hold the number of rows, since the host resizes both when it restores a checkpoint or
    another stage's geometry: state that a decision needs, such as accumulated gradients, is in buffers.
    """

    def adapt(self, done: int, generator: torch.Generator) -> Mapping[str, RowChange] | None:
        """Return the changed parameters by name, or None; called after each step, without gradients.

        The host replaces each parameter that is returned and moves its optimiser state; group and learning rate stay,
        and so does the count of steps by which Adam corrects its averages. The geometry itself replaces buffers whose
        rows change, so that they fit. `grad` of the parameters is that of the step: summed over its views and losses,
        averaged over processes, clipped. A step without a change should not read a value of a tensor, which would wait
        for the GPU. With several processes the decision is made in each: it depends on parameters, their gradients,
        buffers, `done` and `generator` alone.

        Args:
            done: finished steps of the stage, from 1.
            generator: source of random numbers on the training's device; draw only in steps that change rows.
        """


def module(geometry: Geometry) -> nn.Module:
    """Return the geometry as `nn.Module`."""
    if not isinstance(geometry, nn.Module):
        raise TypeError(f"geometry {type(geometry).__name__} must be a torch.nn.Module")
    return geometry
