"""Contract tests of a loss on a photo: subclass `ReferenceLossContract`, define `make`, run with pytest."""

from __future__ import annotations

from dataclasses import replace

from bozzetto.kinds.geometry import Geometry
from bozzetto.testing.fakes import a_photo
from bozzetto.testing.loss import LossContract
from bozzetto.types import Cameras, LossInputs

__all__ = ["ReferenceLossContract"]


class ReferenceLossContract(LossContract):
    """`LossContract` with a photo, a depth and a normal map among the inputs."""

    def inputs(self, cameras: Cameras, geometry: Geometry | None = None, seed: int = 0) -> LossInputs:
        """Return a rendering of `geometry`, and a photo of another object."""
        return replace(super().inputs(cameras, geometry, seed), reference=a_photo())
