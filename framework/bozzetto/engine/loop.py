"""Training loop of a stage: optimiser steps, after each of which the observers act in the order of their list."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch

from bozzetto.engine.adaptation import KnownParameters, adapt
from bozzetto.engine.optimizer import clip_gradients, set_learning_rates
from bozzetto.engine.own_training import OwnTraining, own_trainings
from bozzetto.engine.processes import OneProcess, Processes
from bozzetto.engine.system import System


@runtime_checkable
class StepObserver(Protocol):
    """Acts after each training step."""

    def after_step(self, done: int, system: System) -> None:
        """Act after a step; `done` steps of the stage are finished. An exception ends the training."""

    def close(self) -> None:
        """Release files and the terminal; called once, however the training ends."""


@dataclass
class Loop:
    """Training of one stage: the system, its optimiser and the number of finished steps."""

    system: System
    optimizer: torch.optim.Optimizer
    done: int = 0
    """Finished steps."""
    processes: Processes = field(default_factory=OneProcess)
    """Other processes that train the same system with other views."""
    known: KnownParameters = field(init=False)
    """Parameters that the optimisers train."""
    own: tuple[OwnTraining, ...] = field(init=False)
    """Trainings of the modules of guidances and scores, by order of the tasks."""

    def __post_init__(self) -> None:
        self.known = KnownParameters(self.system)
        self.own = own_trainings(self.system)

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        """All optimisers: the scene's, then those of guidances and scores."""
        return [self.optimizer, *(training.optimizer for training in self.own)]

    def join(self, processes: Processes) -> None:
        """Train together with other processes from now on, beginning with the first one's state."""
        self.processes, self.system.share = processes, processes.share
        processes.copy_state(self.system)

    def run(self, last: int, observers: Sequence[StepObserver]) -> None:
        """Train until `last` steps are finished.

        Raises:
            NonFiniteError: a loss or gradient is not finite.
            PluginError: a component replaced, resized, added or removed a parameter outside of its contract.
        """
        with ExitStack() as opened:
            for observer in observers:
                opened.callback(observer.close)
            while self.done < last:
                self.step()
                for observer in observers:
                    observer.after_step(self.done, self.system)

    def step(self) -> None:
        """Train one step: render and judge the views, back-propagate once, and move the parameters.

        On an accelerator the step is not waited for: what it measures and must check is read with `System.metrics`.
        Then what guidances train themselves takes its steps, at the same views, and the geometry may change its rows.
        """
        with self.system.readings.collecting():
            self._step()

    def _step(self) -> None:
        step, system = self.done, self.system
        system.prepare(step)
        self.known.require_same(system, step)
        self.processes.align(system)
        roots = system.run_tasks(step)
        set_learning_rates(self.optimizer, system.optimizer_config, step)
        self.optimizer.zero_grad(set_to_none=True)
        self.known.require_same(system, step)
        roots.backward()
        parameters = system.scene_parameters()
        self.processes.average_gradients([parameter for _, parameter in parameters])
        limit = system.optimizer_config.clip_norm
        system.measured["gradient_norm"] = clip_gradients(parameters, limit, step)
        self.optimizer.step()
        for training in self.own:
            training.step(system, step, self.processes)
        self.done += 1
        adapt(system, self.optimizer, self.known, self.processes, self.done)
