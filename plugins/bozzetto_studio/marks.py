"""What the studio keeps in a run folder: the process that it has started there, and the one it has asked to stop."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bozzetto.files import write_text
from bozzetto_studio.processes import Process

FILE = "studio.json"


@dataclass(frozen=True)
class Marks:
    """Content of `studio.json`."""

    process: Process | None = None
    asked_to_stop: Process | None = None

    @classmethod
    def read(cls, folder: Path) -> Marks:
        """Return the marks in a folder; empty ones if there are none, or they are damaged."""
        try:
            found = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return cls(_process(found["process"]), _process(found["asked_to_stop"]))
        except (OSError, ValueError, TypeError, KeyError):
            return cls()

    def write(self, folder: Path) -> None:
        """Write them."""
        write_text(folder / FILE, json.dumps(asdict(self)) + "\n")


def _process(found: Any) -> Process | None:
    return None if found is None else Process(int(found["number"]), str(found["began"]))
