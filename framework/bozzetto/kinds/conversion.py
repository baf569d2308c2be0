"""Conversion protocol: a geometry initialised from a trained scene of another type. Part of the kind `geometry`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from bozzetto.kinds.scene import Scene

__all__ = ["StartsFromScene"]


@runtime_checkable
class StartsFromScene(Protocol):
    """Additional protocol of a geometry whose manifest provides `conversion`."""

    def start_from(self, scene: Scene, report: Callable[[str], None]) -> None:
        """Set the parameters so that the scene looks like `scene`, that of the previous stage; deterministic.

        `report` prints one line for the user. The scene is in the state of its checkpoint and must not be modified.

        Raises:
            UserError: the conversion fails; the message says what to try.
        """
