"""Command line. Imports no torch before a run starts."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code; see `bozzetto.cli.entry.main`."""
    try:
        from bozzetto.cli.entry import main as run
    except KeyboardInterrupt:  # during the imports, before the signal handlers are installed
        return 130
    return run(arguments)
