"""View source protocol: the cameras of a task."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch

from bozzetto.types import Cameras, Reference

__all__ = ["FixedViews", "ReferenceSource", "ViewSource"]


@runtime_checkable
class ViewSource(Protocol):
    """View source. Constructor: `ViewSource(config)`.

    A source of views in groups gives their size as `Cameras.views_per_group`, the same in every step. Its config has a
    field or class attribute `views_per_group` with it, by which settings that need groups are checked.
    """

    def sample(self, step: int, generator: torch.Generator) -> Cameras:
        """Sample the training cameras of one step, on the generator's device."""

    def eval_cameras(self, count: int, device: torch.device) -> Cameras:
        """Return `count` evaluation cameras evenly around the object, azimuth 0 first; deterministic."""


@runtime_checkable
class ReferenceSource(ViewSource, Protocol):
    """View source with a photo of the object. Its manifest says `provides={"reference"}`."""

    elevation_deg: float | None
    """Elevation of the photo's camera in degrees; None until the host sets the estimate of a guidance."""

    def reference(self, device: torch.device) -> Reference:
        """Return the photo and its camera, which `sample` returns too; the elevation is known by now."""


@runtime_checkable
class FixedViews(ViewSource, Protocol):
    """View source of a finite set of cameras. Its manifest says `provides={"fixed-views"}`."""

    def every_camera(self, device: torch.device) -> Cameras:
        """Return all cameras that `sample` draws from, bit for bit, always in the same order; there are no groups."""
