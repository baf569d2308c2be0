"""Conversion: how a geometry of one type starts from a trained scene of another. Part of the kind `geometry`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from bozzetto.kinds.exporter import Scene


@runtime_checkable
class StartsFromScene(Protocol):
    """What a geometry offers beside its own protocol when its manifest provides `conversion`."""

    def start_from(self, scene: Scene, report: Callable[[str], None]) -> None:
        """Set the parameters so that the scene looks like `scene`, the stage before; deterministic.

        `report` tells the user one line. The scene is in the state its checkpoint holds and must be left so.

        Raises:
            UserError: it cannot; says what to try.
        """
