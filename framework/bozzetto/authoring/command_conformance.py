"""Compares the commands of packages with the contract of `bozzetto.commands.Command`."""

from __future__ import annotations

import argparse
import inspect
import sys
from typing import cast

from bozzetto.commands import Command
from bozzetto.errors import PluginError
from bozzetto.registry.commands import PackageCommands, title
from bozzetto.registry.containment import quietly
from bozzetto.registry.discovery import heavy_since
from bozzetto.registry.sources import Source

PATIENCE = 12
"""Time limit for loading a command, in multiples of that for importing its declaration."""


def command_findings(commands: PackageCommands) -> list[tuple[str, list[str]]]:
    """Return the faults of each command, by title. Finds heavy imports only if nothing has imported the package yet."""
    found = []
    for one in commands.listed():
        faults = [f"it is {one.status}"] if one.status != "ok" else _contained_faults(commands, one.source)
        found.append((title(one.source).removeprefix("The "), faults))
    return found


def _contained_faults(commands: PackageCommands, source: Source) -> list[str]:
    """Run `command_faults`; an exception of the package's own code becomes a fault."""
    outcome = quietly(lambda: command_faults(commands, source), source.key, PATIENCE * commands.limit_s)
    fault = outcome.fault
    return outcome.unwrap() if fault is None else [f"checking it failed: {type(fault).__name__}: {fault}"]


def command_faults(commands: PackageCommands, source: Source) -> list[str]:
    """Return why a command does not conform to the contract; empty if it does."""
    before = set(sys.modules)
    try:
        module = cast(Command, commands.load(source))
    except PluginError as error:
        return [str(error)]
    heavy = heavy_since(before)
    slow = [f"its module imports {', '.join(heavy)} for --help; move that import into run"] if heavy else []
    return slow + _argument_faults(module) + _signature_faults(module)


def _argument_faults(module: Command) -> list[str]:
    parser = argparse.ArgumentParser("bozzetto")
    try:
        module.add_arguments(parser)
        parser.add_argument("--traceback", action="store_true")
        parser.format_help()
    except Exception as error:  # raised by the package's own code
        return [f"its add_arguments raises {type(error).__name__}: {error}"]
    return []


def _signature_faults(module: Command) -> list[str]:
    try:
        inspect.signature(module.run).bind(None, None)
    except (TypeError, ValueError):
        return ["its run must be callable as run(options, host)"]
    return []
