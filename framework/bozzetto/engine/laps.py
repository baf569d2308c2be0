"""Seconds of a stage by part: building it, training it, and what acts between its steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bozzetto.engine.loop import StepObserver
from bozzetto.engine.system import System

TRAINING = "training"
"""Part of the steps themselves."""


class Laps:
    """Clock that attributes the time since the lap before, or since its start, to a part.

    On a GPU the steps' work is attributed to the part that waits for it, mostly to the training, which reads numbers.

    Args:
        now: clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now, self.last = now, now()
        self.seconds: dict[str, float] = {}
        """By part, in the order of their first laps."""

    def lap(self, part: str) -> None:
        """End a part, which began at the lap before."""
        last, self.last = self.last, self.now()
        self.seconds[part] = self.seconds.get(part, 0.0) + self.last - last

    def added_to(self, before: object) -> dict[str, float]:
        """Return the seconds by part, rounded to hundredths, with earlier ones of the stage as a manifest has them.

        What is no number there, in a manifest edited by hand, counts as nothing.
        """
        given = before if isinstance(before, Mapping) else {}
        earlier = {part: seconds for part, seconds in given.items() if isinstance(seconds, int | float)}
        parts = dict.fromkeys([*earlier, *self.seconds])
        return {part: round(earlier.get(part, 0.0) + self.seconds.get(part, 0.0), 2) for part in parts}


@dataclass(frozen=True)
class Lapped:
    """Observer of steps whose time is attributed to a part of its own."""

    observer: StepObserver
    part: str
    laps: Laps

    def after_step(self, done: int, system: System) -> None:
        """Let the observer act; the time before is the training's."""
        self.laps.lap(TRAINING)
        self.observer.after_step(done, system)
        self.laps.lap(self.part)

    def close(self) -> None:
        """Close the observer."""
        self.observer.close()
