"""`bozzetto plugins list | show | check | new | docs`, of components and commands. No torch, except in `check`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bozzetto.cli.options import Options
from bozzetto.errors import PluginError, did_you_mean
from bozzetto.kinds import KINDS
from bozzetto.registry.commands import ListedCommand, PackageCommands
from bozzetto.registry.discovery import Registry, status_of
from bozzetto.weights import catalogue
from bozzetto.weights.catalogue import Catalogue

ENVIRONMENT = """\
environment:
  BOZZETTO_PLUGINS=NAME=MODULE,...    add manifests that are not installed
  BOZZETTO_COMMANDS=NAME=MODULE:SPEC  add commands that are not installed
  BOZZETTO_DISABLE=DISTRIBUTION,...   leave plugins and commands out
  BOZZETTO_STRICT_PLUGINS=1           every broken plugin is an error, for authors and CI
  BOZZETTO_PLUGIN_SECONDS=10          how long listing one plugin may take before it counts as broken
"""


COMMAND = "command"
"""Kind under which commands are listed beside the components."""


def parser() -> Options:
    """Return the options of `plugins`."""
    top = Options(
        "bozzetto plugins",
        description="List, check and create plugins.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = top.add_subparsers(dest="action", metavar="ACTION", required=True)
    one = actions.add_parser("list", help="every component, model and command, with its distribution and status")
    one.add_argument("--json", action="store_true", help="the same for programs")
    one = actions.add_parser("show", help="every field of one component, with type, default and meaning; or one model")
    one.add_argument(
        "component", metavar="KIND/NAME", help="e.g. geometry/hash-grid, geometry/DISTRIBUTION/NAME, model/ALIAS"
    )
    one = actions.add_parser(
        "check", help="compare every component and command with its contract, and read each shipped model"
    )
    one.add_argument("distributions", nargs="*", metavar="DISTRIBUTION", help="only these; default: all")
    one = actions.add_parser("new", help="write a package with one component, tests and a recipe")
    one.add_argument("name", metavar="NAME", help="kebab-case, e.g. voxel-box; the package is bozzetto-NAME")
    one.add_argument("--kind", required=True, choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    one.add_argument("--into", type=Path, default=Path(), metavar="FOLDER", help="where; default: here")
    one = actions.add_parser("docs", help="write the reference pages of every component as Markdown")
    one.add_argument("folder", type=Path, metavar="FOLDER", help="e.g. docs/reference")
    one.add_argument("--distribution", metavar="NAME", help="only the components of this one")
    for action in actions.choices.values():
        action.add_argument("--traceback", action="store_true", help="show where an error comes from")
    return top


def plugins(options: argparse.Namespace, registry: Registry) -> int:
    """Run one action."""
    if options.action == "list":
        commands = _commands()
        listed = [*rows(registry), *command_rows(commands)]
        print(json.dumps(listed, indent=2) if options.json else list_plugins(registry, commands))
        return 0
    if options.action == "show":
        print(show_component(registry, options.component), end="")
        return 0
    if options.action == "check":
        from bozzetto.authoring.conformance import report

        return report(registry, options.distributions, PackageCommands.installed(os.environ))
    if options.action == "new":
        from bozzetto.authoring.scaffold import next_steps, write_package

        print(next_steps(write_package(options.into, options.name, options.kind)))
        return 0
    from bozzetto.authoring.pages import write_pages

    for path in write_pages(options.folder, registry, options.distribution):
        print(f"{'wrote  ' if path.is_file() else 'removed'}  {path}")
    return 0


def _commands() -> list[ListedCommand]:
    """Return the commands of packages.

    Raises:
        PluginError: `BOZZETTO_STRICT_PLUGINS` is set, and a command is broken or refused.
    """
    commands = PackageCommands.installed(os.environ)
    if os.environ.get("BOZZETTO_STRICT_PLUGINS", "") == "1" and (faults := commands.faults()):
        raise PluginError("\n".join(faults))
    return commands.listed()


def rows(registry: Registry) -> list[dict[str, str | None]]:
    """Return one row per component, one per model, and one with kind null per plugin that failed to load."""
    listed: list[dict[str, str | None]] = []
    for (kind, name), entries in sorted(registry.entries.items()):
        for entry in entries:
            status = _or_conflict(status_of(entry), entries)
            listed.append(_row(kind, name, entry.dist, entry.version, status, entry.spec.summary))
    for model in Catalogue.of(registry):
        status = _or_conflict(catalogue.status_of(model), registry.models[model.spec.alias])
        listed.append(_row("model", model.spec.alias, model.dist, model.version, status, model.spec.note))
    for source, error in registry.broken.items():
        why = " ".join(str(error).split())
        status = f"broken: {type(error).__name__}: {why}"
        listed.append(_row(None, source.name, source.dist, source.version, status, ""))
    return listed


def command_rows(commands: Iterable[ListedCommand]) -> list[dict[str, str | None]]:
    """Return one row per command, of kind `command`."""
    listed: list[dict[str, str | None]] = []
    for one in commands:
        source = one.source
        twins = "/" in one.called and not one.status.startswith("refused")
        status = one.status if not twins else "CONFLICT" if one.status == "ok" else f"CONFLICT, {one.status}"
        listed.append(_row(COMMAND, source.name, source.dist, source.version, status, one.summary))
    return listed


def _or_conflict(status: str, same_name: Sequence[object]) -> str:
    """Return the status of one of the entries with the same name."""
    if len(same_name) < 2:
        return status
    return "CONFLICT" if status == "ok" else f"CONFLICT, {status}"


def _row(kind: str | None, name: str, dist: str, version: str, status: str, summary: str) -> dict[str, str | None]:
    return {
        "kind": kind, "name": name, "distribution": dist, "version": version, "status": status, "summary": summary,
    }  # fmt: skip


def list_plugins(registry: Registry, commands: Iterable[ListedCommand] = ()) -> str:
    """Format the rows as a table, cut to the terminal width if there is one."""
    listed = [*rows(registry), *command_rows(commands)]
    if not listed:
        return "No plugins are installed, not even the built-in ones. Run 'pip install -e .' in the project folder."
    table = [
        (row["kind"] or "plugin", row["name"], f"{row['distribution']} {row['version']}", row["status"], row["summary"])
        for row in listed
    ]
    # A long status is printed in full and shifts only the summary of its own line.
    widths = [min(max(len(str(row[column])) for row in table), 40) for column in range(4)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = []
    for row in table:
        facts = "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=False)) + "  "
        summary = str(row[4]) if room is None else str(row[4])[: max(room - len(facts), 0)]
        lines.append((facts + summary).rstrip())
    return "\n".join([*lines, *hints(listed)])


def hints(listed: list[dict[str, str | None]]) -> list[str]:
    """Return hints on conflicts, slow plugins and broken plugins; empty if there are none."""
    statuses = [str(row["status"]) for row in listed]
    told = []
    if any("CONFLICT" in status for status in statuses):
        told.append("CONFLICT: write DISTRIBUTION/NAME, in the recipe or as the command.")
    if any("slow" in status for status in statuses):
        told.append("slow: its manifest imports a heavy package; move that import behind `target`.")
    if any("broken" in status for status in statuses):
        told.append("broken: 'bozzetto plugins check' and BOZZETTO_STRICT_PLUGINS=1 give details; the others work.")
    return ["", *told] if told else []


def show_component(registry: Registry, path: str) -> str:
    """Return the reference page of a component: its purpose and each config field with type, default and meaning.

    `model/NAME` is a model: what is known of it.
    """
    kind, _, name = path.partition("/")
    if kind == "model" and name:
        return _show_model(Catalogue.of(registry), name)
    kinds = sorted({*KINDS, *(kind for kind, _ in registry.entries)})
    if kind == COMMAND and name:
        raise PluginError(f"A command documents itself: bozzetto {name} --help")
    if kind not in kinds or not name:
        hint = did_you_mean(kind, kinds)
        raise PluginError(f"{path!r} is not KIND/NAME, e.g. geometry/hash-grid.{hint} Kinds: {', '.join(KINDS)}.")
    entry = registry.find(kind, name)
    registry.config_type(kind, f"{entry.dist}/{entry.spec.name}")

    from bozzetto.authoring.pages import component_page

    return f"{entry.dist} {entry.version}: {status_of(entry)}\n\n{component_page(entry)}"


def _show_model(models: Catalogue, name: str) -> str:
    entry = models.find(name)
    if entry is None:
        known = ", ".join(models.names) or "none"
        raise PluginError(f"there is no model named {name!r}.{did_you_mean(name, models.names)} Known: {known}.")

    from bozzetto.authoring.pages import model_page

    place = f" in {entry.spec.folder}" if entry.spec.folder else ""
    return f"{entry.dist} {entry.version}: {catalogue.status_of(entry)}{place}\n\n{model_page(entry)}"
