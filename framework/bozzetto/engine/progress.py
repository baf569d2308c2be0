"""Progress bar of a stage."""

from __future__ import annotations

from typing import NoReturn

from tqdm import tqdm

from bozzetto.engine.system import System


class Progress:
    """Progress bar with stage, step, steps per second, time left and the latest opacities.

    Args:
        done: finished steps.
        every: steps between readings of the opacities, which wait for an accelerator.
    """

    def __init__(self, stage: str, steps: int, done: int, every: int = 1) -> None:
        self.every = every
        self.bar: tqdm[NoReturn] = tqdm(
            total=steps, initial=done, desc=stage, unit="step", dynamic_ncols=True, mininterval=0.5
        )

    def after_step(self, done: int, system: System) -> None:
        """Show the step."""
        if done % self.every == 0:
            self._show(system)
        self.bar.update(done - self.bar.n)

    def _show(self, system: System) -> None:
        shown = {name.split("/")[-1]: value for name, value in system.metrics.items() if name.endswith("opacity")}
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in shown.items()}, refresh=False)

    def close(self) -> None:
        """End the line of the bar."""
        self.bar.close()
