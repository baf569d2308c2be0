"""Protocol of a guidance that keeps something of every view of its task, e.g. pictures that it edits.

What is kept is saved and resumed with the run, as `guided.<task>.` of the system. The view source must be a
`bozzetto.kinds.view_source.FixedViews`: the guidance's manifest says `needs={"fixed-views"}`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn

from bozzetto.kinds.scene import Scene
from bozzetto.types import Cameras

__all__ = ["KeepsViews"]


@runtime_checkable
class KeepsViews(Protocol):
    """Guidance that keeps tensors by view; it trains nothing of its own."""

    def keep(self, cameras: Cameras) -> nn.Module:
        """Return the module whose buffers are kept: nothing is trained in it. Called once, when the stage is built.

        Its buffers have their final shapes, so that those of a checkpoint can be loaded.

        Args:
            cameras: all that `sample` of the view source ever returns, in order.
        """

    def begin(self, scene: Scene) -> None:
        """Take what is kept from the scene as it is before the first step; not called if the stage is resumed."""
