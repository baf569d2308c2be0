"""Exporter protocol: writes a trained scene to files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from bozzetto.kinds.scene import Scene
from bozzetto.types import EMPTY

__all__ = ["Exported", "Exporter"]


@dataclass(frozen=True)
class Exported:
    """Result of an exporter."""

    files: tuple[Path, ...]
    facts: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    """Plain values for the run's manifest, such as the number of faces."""


@runtime_checkable
class Exporter(Protocol):
    """Exporter of one type of files. Constructor: `Exporter(config)`."""

    def export(self, scene: Scene, folder: Path, report: Callable[[str], None]) -> Exported:
        """Write files into the existing `folder`, each atomically. `report` prints one line for the user.

        Raises:
            ExportError: no meaningful file can be written; the message says what to change.
        """
