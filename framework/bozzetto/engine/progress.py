"""Progress of a stage: a bar in a terminal, a widget in a notebook, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn, Protocol, runtime_checkable

from tqdm import tqdm

from bozzetto.engine.system import System

LINE_S = 10.0
"""Seconds between lines in a log."""


@runtime_checkable
class Stream(Protocol):
    """Terminal or log."""

    def write(self, text: str, /) -> int:
        """Write a text."""

    def flush(self) -> None:
        """Write what waits."""

    def isatty(self) -> bool:
        """Return whether it is a terminal."""


class Progress:
    """Shows stage, step, steps per second, time left and the latest opacities.

    Args:
        done: finished steps.
        every: steps between readings of the opacities, which wait for an accelerator; the last step's are read, too.
        stream: terminal or log; None: standard error.
        now: clock in seconds.
    """

    def __init__(
        self, stage: str, steps: int, done: int, every: int = 1, stream: Stream | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.steps, self.every = steps, every
        self.bar: tqdm[NoReturn] | LogLines
        shown: Stream = sys.stderr if stream is None else stream
        if in_notebook():
            from tqdm.notebook import tqdm as widget

            self.bar = widget(total=steps, initial=done, desc=stage, unit="step", mininterval=0.5)
        elif shown.isatty():
            self.bar = tqdm(
                total=steps, initial=done, desc=stage, unit="step", dynamic_ncols=True, mininterval=0.5, file=shown
            )
        else:
            self.bar = LogLines(stage, steps, done, shown, now)

    def after_step(self, done: int, system: System) -> None:
        """Show the step."""
        if done % self.every == 0 or done == self.steps:
            self._show(system)
        self.bar.update(int(done - self.bar.n))

    def _show(self, system: System) -> None:
        shown = {name.split("/")[-1]: value for name, value in system.metrics.items() if name.endswith("opacity")}
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()}, refresh=False)

    def close(self) -> None:
        """End the line of the bar."""
        self.bar.close()


class LogLines:
    """Writes a line every `LINE_S` seconds and after the last step, with the part of tqdm's interface that is used."""

    def __init__(self, stage: str, steps: int, done: int, stream: Stream, now: Callable[[], float]) -> None:
        self.stage, self.steps, self.n, self.stream, self.now = stage, steps, done, stream, now
        self.values = ""
        self._begun = self._told = now()
        self._first = done

    def set_postfix(self, values: dict[str, Any], refresh: bool = False) -> None:
        """Take what stands at the end of the next line."""
        self.values = "".join(f"  {name} {value}" for name, value in values.items())

    def update(self, steps: int) -> None:
        """Count finished steps, and write a line if it is time."""
        self.n += steps
        now = self.now()
        if now - self._told < LINE_S and self.n < self.steps:
            return
        self._told = now
        rate = (self.n - self._first) / max(now - self._begun, 1e-9)
        left = f"{tqdm.format_interval((self.steps - self.n) / rate)} left" if rate > 0 else ""
        self.stream.write(
            f"{self.stage}  step {self.n} of {self.steps} ({100 * self.n // self.steps} %)  {rate:.2f} steps/s  "
            f"{left}{self.values}\n"
        )
        self.stream.flush()

    def close(self) -> None:
        """Do nothing: every line is complete."""


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook with widgets. Imports nothing."""
    shell = sys.modules.get("IPython")
    found = getattr(shell, "get_ipython", lambda: None)()
    return type(found).__name__ == "ZMQInteractiveShell" and _has_widgets()


def _has_widgets() -> bool:
    import importlib.util

    return importlib.util.find_spec("ipywidgets") is not None
