"""Commands that packages add to the command line: their declaration, and the functions that the host calls. No torch.

A package declares a command by an entry point, whose name is the command's:

    [project.entry-points."bozzetto.commands"]
    faces = "bozzetto_faces.manifest:FACES"
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bozzetto.registry.discovery import Registry
from bozzetto.spec import CommandSpec

__all__ = ["Command", "CommandSpec", "Host"]


@dataclass(frozen=True)
class Host:
    """Services of the host for a command. Later versions may add fields, with defaults."""

    registry: Callable[[], Registry]
    """Finds the installed components, in about 0.1 s.

    Raises:
        PluginError: `BOZZETTO_STRICT_PLUGINS` is set, and a plugin is broken.
    """


@runtime_checkable
class Command(Protocol):
    """Module of a command: two functions.

    What it imports at its top is imported for `bozzetto NAME --help`, too: heavy imports belong into `run`.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments. Positional ones and options may be interspersed; the host adds `--traceback`.

        `parser.description` is the summary unless it is set here.
        """

    def run(self, options: argparse.Namespace, host: Host) -> int:
        """Run the command; return the exit code: 0 for success, 1 for a failure that is no error of the user.

        Raises:
            UserError: an error that the user can fix; the host prints its message and exits with 2, as for errors of
                the system (`OSError`, `MemoryError`). Any other exception is reported as a bug of the package.
        """
