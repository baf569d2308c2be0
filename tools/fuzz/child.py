"""Process of one command: limits, output capture, auditing, and the program's `main`."""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import resource
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from fuzz.audit import Sandbox, installation
from fuzz.case import START, Command, Interruption

PROJECT = Path(__file__).resolve().parents[2]
MEMORY_BYTES = 2_000_000_000
"""Maximum resident memory of one command, bytes."""
OUT, ERR, FORBIDDEN = "stdout.txt", "stderr.txt", "forbidden.txt"
CALLS, SENT = "calls.txt", "sent.txt"
"""Files in the sandbox: call counts of a watched command (total, first and last step); interruption mark."""
WORK = "sandbox"
"""Sandbox folder below a case's folder; everything beside it is outside."""


def environment(home: Path) -> dict[str, str]:
    """Return the environment of all commands: their own home folder, no downloads, minimal threads."""
    return {
        "HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONUTF8": "1",
        "COLUMNS": "100",
    }


def become_command(command: Command, folder: Path, stock: Path, reads_checked: bool) -> NoReturn:
    """Turn this forked process into the command; never returns.

    Args:
        folder: folder of the case; the command runs in its subfolder `sandbox`, its output is written beside it.
        stock: folder of files that all cases may read.
    """
    code = 1
    try:
        _capture(folder)
        _settle(folder / WORK)
        log = os.open(folder / FORBIDDEN, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _limit_memory()
        _limit_steps(command.most_steps)
        _leave_out_the_clock()
        written = (str((folder / WORK).resolve()), "/dev", "/proc/self")
        readable = (*written, str(stock.resolve()), str(PROJECT), *installation())
        words = [word for given in command.words for word in started(given, folder / WORK)]
        Sandbox(written, readable, reads_checked, log).watch()
        code = _main(words, command.interruption, folder)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def started(word: str, sandbox: Path) -> tuple[str, ...]:
    """Return the word; `{start}` is replaced by the options that start the run or resume it."""
    if word != START:
        return (word,)
    found = sorted(sandbox.glob("outputs/*/*/manifest.json"))
    return ("--resume", str(found[0].parent.relative_to(sandbox))) if found else ("--config", "recipe.yaml")


def _main(words: list[str], interruption: Interruption | None, folder: Path) -> int:
    from bozzetto.cli import main

    counter = Counter(interruption, folder / WORK)
    sys.argv = ["bozzetto", *words]
    try:
        if interruption is not None:
            sys.setprofile(counter)
        return main(words)
    except SystemExit as stop:  # raised by argparse
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    finally:
        sys.setprofile(None)
        if interruption is not None:
            numbers = (counter.calls, counter.first_step, counter.last_step)
            (folder / WORK / CALLS).write_text(" ".join(map(str, numbers)), encoding="utf-8")


class Counter:
    """Profiler that counts calls, and sends this process a signal after a given number."""

    def __init__(self, interruption: Interruption | None, folder: Path) -> None:
        self.interruption, self.folder = interruption, folder
        self.calls = 0
        self.first_step = self.last_step = 0
        """Call numbers at which the first and the last training step began."""

    def __call__(self, frame: Any, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            self.calls += 1
            if event == "call" and frame.f_code.co_qualname == "Loop.step":
                self.first_step, self.last_step = self.first_step or self.calls, self.calls
            if self.interruption is not None and self.calls == self.interruption.call:
                (self.folder / SENT).touch()
                os.kill(os.getpid(), self.interruption.signal)


def _capture(folder: Path) -> None:
    """Redirect stdin from nothing and outputs to files, in a new session, so that its children end with it."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, path, how in ((0, Path(os.devnull), os.O_RDONLY), (1, folder / OUT, flags), (2, folder / ERR, flags)):
        opened = os.open(path, how, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    faulthandler.enable(file=2)  # it also dumps the stack at SIGABRT


def _settle(sandbox: Path) -> None:
    """Move home, caches and temporary files to the sandbox, and make it the working directory."""
    import tempfile

    for name in ("home", "tmp"):
        (sandbox / name).mkdir(exist_ok=True)
    os.environ.update(HOME=str(sandbox / "home"), TMPDIR=str(sandbox / "tmp"), BOZZETTO_CACHE=str(sandbox / "home"))
    tempfile.tempdir = None
    os.chdir(sandbox)


def _limit_memory() -> None:
    """Make allocations fail from `MEMORY_BYTES` on, as on a machine without more memory; disable core files."""
    page = resource.getpagesize()
    virtual, resident = (int(text) * page for text in Path("/proc/self/statm").read_text().split()[:2])
    limit = virtual + max(MEMORY_BYTES - resident, 0)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_steps(most: int) -> None:
    """Limit every stage to `most` steps: a damaged recipe may ask for any number."""
    from bozzetto.engine.pipeline import Pipeline
    from bozzetto.recipe import Recipe

    made = Pipeline.train

    def shortened(pipeline: Pipeline, recipe: Recipe, index: int) -> None:
        stages = list(recipe.stages)
        trainer = stages[index].trainer
        stages[index] = replace(stages[index], trainer=replace(trainer, steps=min(trainer.steps, most)))
        made(pipeline, replace(recipe, stages=tuple(stages)), index)

    Pipeline.train = shortened  # type: ignore[method-assign]


def _leave_out_the_clock() -> None:
    """Disable the time-based first image of a run, so that runs write the same images at any speed."""
    from bozzetto.engine import pictures

    pictures.FIRST_PICTURE_S = math.inf
