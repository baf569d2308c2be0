"""Training of the modules of guidances and scores, after each step of the scene, by optimisers of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bozzetto.engine.optimizer import clip_gradients, make_optimizer, set_learning_rates
from bozzetto.engine.processes import Processes
from bozzetto.engine.system import System
from bozzetto.engine.trained_guidance import PREFIX, trainable_of
from bozzetto.errors import ConfigError
from bozzetto.kinds.trainable import Fitting, Trainable
from bozzetto.recipe import OptimizerConfig


@dataclass
class OwnTraining:
    """Training of the module of one task's guidance or score."""

    task: str
    trainable: Trainable
    parameters: list[tuple[str, nn.Parameter]]
    """Parameters by their names in the system."""
    fitting: Fitting
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        fitting = self.fitting
        self.config = OptimizerConfig(
            "adamw", fitting.lr, {}, fitting.betas, fitting.eps, fitting.weight_decay, fitting.clip_norm
        )
        self.optimizer = make_optimizer(self.parameters, self.config)

    def step(self, system: System, step: int, processes: Processes) -> None:
        """Move the parameters if the task ran in this step, and add the last loss to what the system has measured.

        Raises:
            ConfigError: the guidance returned no `fit`.
            NonFiniteError: a gradient is not finite; the message names its parameter.
        """
        self.optimizer.zero_grad(set_to_none=True)  # also of what the scene's backward pass may have left
        result = system.results.get(self.task)
        if result is None:
            return
        if result.fit is None:
            raise ConfigError(f"system.tasks.{self.task}: the guidance trains a module, and returned no Guided.fit.")
        set_learning_rates(self.optimizer, self.config, step)
        for _ in range(self.fitting.steps):
            loss = self._fit(result.fit, step, processes)
        self.trainable.rest()
        system.measured[f"{self.task}/fit"] = loss.detach()

    def _fit(self, fit: Callable[[], Tensor], step: int, processes: Processes) -> Tensor:
        members = [parameter for _, parameter in self.parameters]
        loss = fit()
        if not loss.requires_grad:
            raise ConfigError(f"system.tasks.{self.task}: the loss of Guided.fit depends on no trained parameter.")
        loss.backward(inputs=members)  # nothing else may receive a gradient
        processes.average_gradients(members)
        clip_gradients(self.parameters, self.config.clip_norm, step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss


def own_trainings(system: System) -> tuple[OwnTraining, ...]:
    """Return the training of each module that a system's guidances and scores train."""
    made = []
    for task in system.tasks:
        trainable = trainable_of(task.guidance)
        module = None if trainable is None else trainable.trainable()
        if trainable is not None and module is not None:
            named = [(f"{PREFIX}.{task.name}.{name}", value) for name, value in module.named_parameters()]
            made.append(OwnTraining(task.name, trainable, named, trainable.fitting))
    return tuple(made)
