"""Exporter: from a trained scene to files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from bozzetto.kinds.background import Background
from bozzetto.kinds.geometry import Geometry
from bozzetto.kinds.material import Material
from bozzetto.kinds.renderer import Renderer
from bozzetto.kinds.view_source import ViewSource
from bozzetto.types import EMPTY


@dataclass(frozen=True)
class Scene:
    """A trained scene, ready to be looked at or written."""

    geometry: Geometry
    material: Material
    background: Background
    renderer: Renderer
    views: ViewSource
    """The first task's view source: its `eval_cameras` look the way training did."""
    device: torch.device


@dataclass(frozen=True)
class Exported:
    """What an exporter wrote."""

    files: tuple[Path, ...]
    facts: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    """Plain values worth keeping in the run's manifest, e.g. the number of faces."""


@runtime_checkable
class Exporter(Protocol):
    """Constructor: `Exporter(config)`."""

    def export(self, scene: Scene, folder: Path, report: Callable[[str], None]) -> Exported:
        """Write files into `folder` (which exists), each atomically. `report` tells the user one line.

        Raises:
            ExportError: nothing sensible can be written; says what to change.
        """
