"""Time from the start of a fresh process to the end of its first training step."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bozzetto import hookimpl
from bozzetto.errors import UserError

FILE = "BOZZETTO_BENCH_STARTUP"
"""Environment variable with the file that receives the times of the first step's end."""
CODE = "import sys; from bozzetto.cli import main; sys.exit(main())"
SETTINGS = (
    "trainer.steps=1", "trainer.log_every=1", "trainer.loggers=[]", "trainer.image_every=0", "export=null",
)  # fmt: skip
"""Overrides with which the observer is told of the first step, and nothing else is done after it."""


@dataclass(frozen=True)
class Startup:
    """Starts of fresh processes."""

    seconds: tuple[float, ...]
    """Seconds to the end of the first step, in the order of the runs."""

    @property
    def median(self) -> float:
        """Median of all runs."""
        return statistics.median(self.seconds)

    def line(self, recipe: str) -> str:
        """Format the times."""
        each = ", ".join(f"{one:.1f}" for one in self.seconds)
        return (
            f"startup: {self.median:.1f} s from the start of a process to the end of its first step, {recipe} ({each})"
        )


def measure_startup(
    config: str, profile: str, overrides: Sequence[str], repeats: int, processor: bool = False
) -> Startup:
    """Train one step in each of `repeats` fresh processes. The text embeddings are cached from the second on.

    Args:
        processor: measure CPU time instead of wall time.

    Raises:
        UserError: a process does not train.
    """
    return Startup(tuple(_started(config, profile, overrides, processor) for _ in range(repeats)))


def _started(config: str, profile: str, overrides: Sequence[str], processor: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "times"
        words = ["--config", config, "--profile", profile, *overrides, *SETTINGS, f"output={folder}/outputs"]
        before = time.time()
        done = subprocess.run(
            [sys.executable, "-c", CODE, *words], env={**os.environ, "BOZZETTO_PLUGINS": __name__, FILE: str(file)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if not file.is_file():
            raise UserError(f"startup: {config} did not train a step:\n{(done.stdout + done.stderr)[-2000:]}")
        wall, cpu = map(float, file.read_text(encoding="utf-8").split())
        return cpu if processor else wall - before


@hookimpl
def bozzetto_step_finished(step: int) -> None:
    """Write the time of the day and the CPU time of this process, seconds, and end it."""
    file = os.environ.get(FILE)
    if file:
        Path(file).write_text(f"{time.time()} {time.process_time()}", encoding="utf-8")
        os._exit(0)
