"""Renderer protocol: from a scene and cameras to images. A `torch.nn.Module` with acceleration structures only."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch

from bozzetto.kinds.background import Background
from bozzetto.kinds.geometry import Geometry
from bozzetto.kinds.material import Material
from bozzetto.types import Cameras, Rendered, Shading

__all__ = ["Previews", "Renderer"]


@runtime_checkable
class Renderer(Protocol):
    """Renderer. Constructor: `Renderer(config, radius)`, with the geometry's radius."""

    def __call__(
        self,
        cameras: Cameras,
        geometry: Geometry,
        material: Material,
        background: Background,
        shading: Shading,
        normal: bool = False,
        generator: torch.Generator | None = None,
    ) -> Rendered:
        """Render images; with a generator jittered samples and random backgrounds, without one deterministic.

        `normal` requests `Rendered.normal` and per-sample normals even if the shading does not need them. A view that
        hits nothing yields the background, opacity 0, and zero gradients; it is not an error.
        """

    def update(self, geometry: Geometry, step: int, generator: torch.Generator) -> None:
        """Update acceleration structures such as an occupancy grid. Called before each training step."""


@runtime_checkable
class Previews(Protocol):
    """Renderer with a coarser form for pictures of a camera that moves; others are used as they are."""

    def preview(self) -> Renderer:
        """Return a cheaper renderer of the same scene, which shares what this one keeps."""
