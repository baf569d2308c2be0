"""Commands of packages that run beside a training, in a process of their own: `bozzetto run --view ...`. No torch.

A command that declares `beside_run` can be started by `--NAME`, or `--NAME="OPTIONS"` with options of its own. It runs
as `bozzetto NAME RUN_FOLDER OPTIONS` and sees the run through its folder alone (`bozzetto.live`), so it cannot slow or
break the training. Nothing of a package is imported for a run without such an option.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bozzetto.cli.options import Options, UsageError
from bozzetto.cli.package_commands import package_command
from bozzetto.errors import UserError
from bozzetto.registry.commands import PackageCommands

END_S = 10.0
"""Seconds that a command has to end after the run; then it is killed."""


@dataclass(frozen=True)
class Beside:
    """Command to start beside a run."""

    name: str
    options: tuple[str, ...]
    """Its own options."""


def take_beside(words: Sequence[str], parser: Options) -> tuple[list[str], tuple[Beside, ...]]:
    """Split the words of `run` into its own and the commands to start beside it.

    Raises:
        UserError: such a command is broken, cannot run beside a training, or does not know its options.
    """
    own = {text for action in parser._actions for text in action.option_strings}
    commands: PackageCommands | None = None
    left: list[str] = []
    found: list[Beside] = []
    for word in words:
        option, equals, text = word.partition("=")
        if not option.startswith("--") or option in own or option == "--":
            left.append(word)
            continue
        commands = commands or PackageCommands.installed(os.environ)
        if option[2:] not in (commands.called(source) for source in commands.sources):
            left.append(word)
            continue
        found.append(_beside(option[2:], text if equals else "", commands))
    return left, tuple(found)


def _beside(name: str, text: str, commands: PackageCommands) -> Beside:
    if not commands.declaration(commands.find(name)).beside_run:
        raise UsageError(f"--{name}: the command {name!r} does not run beside a training. See bozzetto {name} --help")
    try:
        options = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"--{name}: {text!r} is no list of options: {error}") from error
    try:
        package_command(name, commands).parse(["RUN_FOLDER", *options])
    except UserError as error:
        raise type(error)(f"--{name}: {error}") from error
    return Beside(name, options)


def beside_help(commands: PackageCommands) -> str:
    """Return a paragraph for `run --help` about commands that run beside a training; empty if there are none."""
    found = []
    for source in commands.sources:
        with contextlib.suppress(UserError):
            spec = commands.declaration(source)
            if spec.beside_run:
                found.append(f"--{commands.called(source)}: {spec.summary}.")
    if not found:
        return ""
    return 'Beside the run, from packages, with options of their own as --NAME="OPTIONS": ' + " ".join(found)


@contextmanager
def running(commands: Sequence[Beside], run_folder: Path) -> Iterator[None]:
    """Run commands beside what happens within the context.

    One that ends early is not started again, and the run goes on. Ctrl-C in a terminal does not reach them.
    """
    started = [_started(command, run_folder) for command in commands]
    try:
        yield
    finally:
        for process in started:
            with contextlib.suppress(OSError):
                process.terminate()
        for process in started:
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()


def _started(command: Beside, run_folder: Path) -> subprocess.Popen[bytes]:
    arguments = [command.name, str(run_folder.absolute()), *command.options]
    return subprocess.Popen([sys.executable, "-m", __name__, *arguments], stdin=subprocess.PIPE, start_new_session=True)


def main() -> int:
    """Run a command beside a training, and end when the process that has started it ends, in whatever way."""
    from bozzetto.cli.entry import main as run

    def end_with_it() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_it, name="beside", daemon=True).start()
    return run(sys.argv[1:], says_stopped=False)


if __name__ == "__main__":
    raise SystemExit(main())
