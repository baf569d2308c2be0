"""The command line. Imports no torch until a run really starts."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: see `bozzetto.cli.entry.main`."""
    try:
        from bozzetto.cli.entry import main as run
    except KeyboardInterrupt:  # in the tenth of a second before there is anything that could answer it
        return 130
    return run(arguments)
