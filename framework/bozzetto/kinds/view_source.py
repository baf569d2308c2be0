"""View source: which cameras a task looks through."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch

from bozzetto.types import Cameras, Reference


@runtime_checkable
class ViewSource(Protocol):
    """Constructor: `ViewSource(config)`."""

    def sample(self, step: int, generator: torch.Generator) -> Cameras:
        """Training cameras of one step, on the generator's device."""

    def eval_cameras(self, count: int, device: torch.device) -> Cameras:
        """`count` cameras evenly around the object, azimuth 0 first, for pictures; deterministic."""


@runtime_checkable
class ReferenceSource(ViewSource, Protocol):
    """A view source that knows a photo of the object. Its manifest says `provides={"reference"}`."""

    elevation_deg: float | None
    """Of the camera that took the photo; None: unknown until the host sets what a guidance has estimated."""

    def reference(self, device: torch.device) -> Reference:
        """The photo and its camera, which `sample` looks through; the elevation is known by now."""
