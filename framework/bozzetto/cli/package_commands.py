"""Runs the commands that packages declare, and lists them for `bozzetto --help`. Imports no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from bozzetto.cli.options import Options
from bozzetto.commands import Command, Host
from bozzetto.errors import PluginError, UserError
from bozzetto.registry.commands import OWN, ListedCommand, PackageCommands, title
from bozzetto.registry.containment import quietly
from bozzetto.registry.sources import Source


@dataclass(frozen=True)
class PackageCommand:
    """Command of a package, imported, with its arguments declared."""

    source: Source
    module: Command
    parser: Options

    @property
    def authors(self) -> str:
        """Program or distribution to which a bug is reported."""
        return "Bozzetto" if self.source.dist == OWN else f"{self.source.dist} {self.source.version}"

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse `words` into options.

        Raises:
            UsageError: an option is unknown, missing or has a wrong value.
            PluginError: the code that converts a value raised an exception.
        """
        try:
            return self.parser.parse(words)
        except UserError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise PluginError(f"{title(self.source)} is broken: reading its arguments raises {why}") from error

    def run(self, options: argparse.Namespace, host: Host) -> int:
        """Run the command and return its exit code; raises whatever it raises.

        Raises:
            PluginError: it returned something else.
        """
        code = self.module.run(options, host)
        if type(code) is not int:
            raise PluginError(f"{title(self.source)} is broken: its run returned {code!r:.80}, not an exit code.")
        return code


def package_command(name: str, commands: PackageCommands) -> PackageCommand:
    """Import a command and let it declare its arguments.

    Raises:
        PluginError: there is none of this name, several packages declare it, or it is broken.
    """
    source = commands.find(name)
    module = cast(Command, commands.load(source))
    summary = commands.declaration(source).summary
    parser = Options(f"bozzetto {name}", description=sentence(summary))

    def declare() -> None:
        module.add_arguments(parser)
        parser.add_argument("--traceback", action="store_true", help="show where an error comes from")

    if (fault := quietly(declare, source.key).fault) is not None:
        why = f"{type(fault).__name__}: {fault}"
        raise PluginError(f"{title(source)} is broken: its add_arguments raises {why}") from fault
    return PackageCommand(source, module, parser)


def help_lines(commands: PackageCommands) -> list[str]:
    """Return a line per command for `bozzetto --help`, with the package of those that are not this distribution's."""
    listed = commands.listed()
    width = max((len(one.called) for one in listed), default=0)
    return [f"  {one.called:<{max(width, 9)}} {_told(one)}" for one in listed]


def sentence(summary: str) -> str:
    """Return a summary as a sentence, with a capital and a full stop."""
    return f"{summary[:1].upper()}{summary[1:]}{'' if summary.endswith('.') else '.'}"


def _told(one: ListedCommand) -> str:
    package = "" if one.source.dist == OWN else f" ({one.source.dist} {one.source.version})"
    return f"{one.summary if one.usable else one.status[:200]}{package}"
