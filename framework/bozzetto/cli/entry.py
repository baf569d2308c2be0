"""Command-line entry: parses arguments and reports errors that the user can fix as one message with exit code 2."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bozzetto import __version__
from bozzetto.cli.beside import Beside, beside_help, take_beside
from bozzetto.cli.console import lasting_streams
from bozzetto.cli.failures import own_message, system_message
from bozzetto.cli.options import Options, UsageError
from bozzetto.cli.package_commands import help_lines, package_command
from bozzetto.commands import Host
from bozzetto.engine.stopping import Stopped, StopSignals, exit_code
from bozzetto.errors import NonFiniteError, UserError
from bozzetto.registry.commands import PackageCommands
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.registry.sources import import_limit_s

HEAD = """\
Bozzetto: words in, a textured 3D mesh out.

  python launch.py --config configs/dreamfusion-sd.yaml prompt="a cactus"

commands:
  run       train a recipe and export the result (the default: 'run' may be left out)
  check     validate a recipe without loading any model
  export    export a finished run again, e.g. with other settings
  plugins   list, show and check components, create a plugin package
  schema    print the JSON schema of recipes, for editors
  doctor    report hardware and packages, which are used, and why others are not
"""
PACKAGES = "commands of packages:"
TAIL = """\

See 'bozzetto COMMAND --help'. Any field of a recipe can be set on the command line: key=value,
e.g. system.geometry.levels=12 trainer.steps=600 export.mesh.max_faces=5000.
"""


def run_parser() -> Options:
    """Return the options of `run`."""
    parser = Options("bozzetto run", description="Train a recipe and export the result.")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--config", metavar="RECIPE", help="a YAML file, or the name of a recipe that a plugin ships")
    start.add_argument("--resume", metavar="RUN_FOLDER", help="resume an interrupted run")
    parser.add_argument(
        "--from-stage",
        metavar="STAGE",
        help="with --resume: discard the training of this stage and those after it, and train them again",
    )
    add_profile(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="resolve and print everything that the run would load, then stop"
    )
    add_common(parser)
    return parser


def check_parser() -> Options:
    """Return the options of `check`."""
    parser = Options("bozzetto check", description="Validate a recipe without loading any model.")
    parser.add_argument("config", metavar="RECIPE", help="a YAML file, or the name of a recipe that a plugin ships")
    add_profile(parser)
    add_common(parser)
    return parser


def export_parser() -> Options:
    """Return the options of `export`."""
    from bozzetto.cli.export import parser

    return parser()


def plugins_parser() -> Options:
    """Return the options of `plugins`."""
    from bozzetto.cli.plugins import parser

    return parser()


def schema_parser() -> Options:
    """Return the options of `schema`."""
    parser = Options("bozzetto schema", description="Print the JSON schema of recipes, for editors.")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to this file instead of standard output")
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")
    return parser


def doctor_parser() -> Options:
    """Return the options of `doctor`."""
    parser = Options("bozzetto doctor", description="Report hardware and packages, and which are used.")
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")
    return parser


def add_profile(parser: Options) -> None:
    """Add the option `--profile`."""
    parser.add_argument(
        "--profile",
        default="auto",
        metavar="NAME",
        help="one of the recipe's profiles; default: the one that fits this machine",
    )


def add_common(parser: Options) -> None:
    """Add overrides and the option `--traceback`."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="set a field of the recipe")
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")


Command = Callable[[argparse.Namespace, Registry, StopSignals], int]


def main(arguments: Sequence[str] | None = None, says_stopped: bool = True) -> int:
    """Run one command.

    Args:
        says_stopped: print that a signal has stopped it.

    Returns:
        0: success. 1: the run failed, or a bug in Bozzetto. 2: an error that the user can fix; the message says how.
        130: stopped with Ctrl-C. 143: stopped with SIGTERM.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0] if words else ""
    with lasting_streams(whatever=name in ("", "run") or _is_argument(name)), StopSignals() as stop:
        try:
            code = _dispatch(words, stop)
            return code or _flush()
        except Stopped as stopped:
            return _stopped(stopped.number) if says_stopped else exit_code(stopped.number)
        except KeyboardInterrupt:
            return _stopped(2)


def _dispatch(words: list[str], stop: StopSignals) -> int:
    """Select the command, parse its options and run it."""
    if words[:1] == ["--version"]:
        print(f"bozzetto {__version__}")
        return 0
    try:
        if not words or words[0] in ("-h", "--help"):
            print(overview(PackageCommands.installed(os.environ)), end="")
            return 0
        name = "run" if _is_argument(words[0]) else words.pop(0)
        if name in COMMANDS:
            make_parser, command = COMMANDS[name]
            parser = make_parser()
            beside: tuple[Beside, ...] = ()
            if name == "run":
                if {"-h", "--help"} & set(words):
                    parser.epilog = beside_help(PackageCommands.installed(os.environ))
                words, beside = take_beside(words, parser)
            options = parser.parse(words)
            options.beside = beside
            return _guarded(lambda: command(options, _registry(), stop), options, "Bozzetto")
        found = package_command(name, PackageCommands.installed(os.environ))
        options = found.parse(words)
    except UserError as error:
        if "--traceback" in words and not isinstance(error, UsageError):
            raise
        return _say(str(error), 2)
    return _guarded(lambda: found.run(options, Host(_registry)), options, found.authors)


def _is_argument(word: str) -> bool:
    """Return whether a first word is an option or override of `run`, and not the name of a command."""
    return word.startswith("-") or "=" in word


def overview(commands: PackageCommands) -> str:
    """Return the text of `bozzetto --help`, with the commands of packages."""
    lines = help_lines(commands)
    return HEAD + "\n".join(["", PACKAGES, *lines, ""] if lines else []) + TAIL


def _guarded(work: Callable[[], int], options: argparse.Namespace, whose: str) -> int:
    """Run a command of `whose`; print an error as one message, or raise it if the traceback is requested."""
    try:
        return work()
    except Exception as error:
        if options.traceback:
            raise
        notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
        if isinstance(error, UserError):
            return _say(f"{error}{notes}", 2)
        if isinstance(error, NonFiniteError):
            cure = "Lower system.optimizer.lr or the guidance's cfg_scale, or try another seed."
            return _say(f"{error} {cure}{notes}", 1)
        if (message := system_message(error)) is not None:
            return _say(f"{message}{notes}", 2)
        return _say(f"{own_message(error, whose)}{notes}", 1)


def _flush() -> int:
    """Flush standard output; return 0, or 2 if it fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return _say(system_message(error) or str(error), 2)
    return 0


def _say(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def _stopped(number: int) -> int:
    print("\nstopped", file=sys.stderr)
    return exit_code(number)


def _registry() -> Registry:
    strict = os.environ.get("BOZZETTO_STRICT_PLUGINS", "") == "1"
    return Registry.discover(installed_sources(os.environ), strict, import_limit_s(os.environ))


def _run(options: argparse.Namespace, registry: Registry, stop: StopSignals) -> int:
    from bozzetto.cli.run import run

    return run(options, registry, stop)


def _check(options: argparse.Namespace, registry: Registry, stop: StopSignals) -> int:
    from bozzetto.cli.run import check

    return check(options, registry)


def _export(options: argparse.Namespace, registry: Registry, stop: StopSignals) -> int:
    from bozzetto.cli.export import export

    return export(options, registry, stop)


def _plugins(options: argparse.Namespace, registry: Registry, stop: StopSignals) -> int:
    from bozzetto.cli.plugins import plugins

    return plugins(options, registry)


def _schema(options: argparse.Namespace, registry: Registry, stop: StopSignals) -> int:
    from bozzetto.config.schema import recipe_schema
    from bozzetto.files import write_text

    text = json.dumps(recipe_schema(registry), indent=2) + "\n"
    if options.output:
        print(f"wrote {write_text(options.output, text)}")
    else:
        print(text, end="")
    return 0


def _doctor(options: argparse.Namespace, registry: Registry, stop: StopSignals) -> int:
    from bozzetto.cli.doctor import doctor

    return doctor(registry)


COMMANDS: Mapping[str, tuple[Callable[[], Options], Command]] = {
    "run": (run_parser, _run),
    "check": (check_parser, _check),
    "export": (export_parser, _export),
    "plugins": (plugins_parser, _plugins),
    "schema": (schema_parser, _schema),
    "doctor": (doctor_parser, _doctor),
}
"""Parser and function of each command of the host, by name."""
