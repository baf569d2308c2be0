"""Losses of one training step over all tasks. Methods are recipes, never subclasses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bozzetto.engine.shares import Share
from bozzetto.engine.trained_guidance import PREFIX, keep_beside, keeper_of, trained_modules
from bozzetto.errors import NonFiniteError
from bozzetto.kinds.guidance import Guidance
from bozzetto.kinds.loss import Loss
from bozzetto.kinds.prompt_processor import Condition
from bozzetto.kinds.scene import Scene
from bozzetto.kinds.view_source import ViewSource
from bozzetto.math.schedules import Schedule
from bozzetto.readings import Readings, check_later
from bozzetto.recipe import OptimizerConfig, TaskTimes
from bozzetto.types import Cameras, Guided, LossInputs, Reference


@dataclass(frozen=True)
class Term:
    """Weighted loss; `loss` is None if the task's guidance computes it."""

    name: str
    weight: Schedule
    loss: Loss | None
    needs_normal: bool


@dataclass(frozen=True)
class RunningTask:
    """Task with live components. Held outside the module tree, so that frozen weights are not saved."""

    name: str
    times: TaskTimes
    views: ViewSource
    guidance: Guidance | None
    condition: Condition | None
    terms: tuple[Term, ...]
    reference: Reference | None = None
    """Photo of the view source, if it has one."""
    kept: nn.Module | None = None
    """What the guidance keeps of its views (`bozzetto.kinds.kept_views`), if it does."""

    def needs_normal(self, step: int) -> bool:
        """Return whether the guidance, or a loss with non-zero weight, reads normals in this step."""
        if self.guidance is not None and self.guidance.needs_normal(step):
            return True
        return any(term.needs_normal and term.weight.at(step) != 0.0 for term in self.terms)


@dataclass
class Roots:
    """Roots of the backward pass: weighted scalars, and tensors with given gradients."""

    tensors: list[Tensor]
    gradients: list[Tensor | None]

    def backward(self) -> None:
        """Back-propagate all roots in one pass; does nothing if none depends on a parameter."""
        pairs = [(t, g) for t, g in zip(self.tensors, self.gradients, strict=True) if t.requires_grad]
        if pairs:
            torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs])


class System(nn.Module):
    """Scene and the tasks that train it.

    Args:
        scene: geometry, material, background and renderer become submodules and are saved with the system.
        tasks: modules that their guidances train or keep become submodules too, named `guided.<task>`.
        generator: source of every random number in training; its state is saved with the system.

    Raises:
        ConfigError: a guidance has parameters that require gradients and are not declared as trained.
    """

    def __init__(
        self, scene: Scene, tasks: tuple[RunningTask, ...], optimizer: OptimizerConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.geometry, self.material = scene.geometry, scene.material
        self.background, self.renderer = scene.background, scene.renderer
        self.scene = scene
        self.tasks = tasks
        self.guided = trained_modules({task.name: task.guidance for task in tasks if task.guidance is not None})
        keep_beside(self.guided, {task.name: task.kept for task in tasks if task.kept is not None})
        self.optimizer_config = optimizer
        self.generator = generator
        self.share = Share()
        """Part of each batch of views that this process renders."""
        self.readings = Readings()
        """Numbers of the steps since the last read that are still on the device, with their checks."""
        self.measured: dict[str, float | Tensor] = {}
        """Losses and other metrics of the latest step, by `task/name`, where they were computed."""
        self.results: dict[str, Guided] = {}
        """Results of each guidance in the latest step, by task; keeps `debug` callables until they are evaluated."""
        self.cameras: dict[str, Cameras] = {}
        """Cameras of the latest step, by task."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Losses and other metrics of the latest step, by `task/name`. On an accelerator, waits for the step.

        Raises:
            NonFiniteError: a number of this step, or of one since the last read, is not finite.
        """
        waiting = {name: value for name, value in self.measured.items() if isinstance(value, Tensor)}
        self.measured.update(zip(waiting, self.readings.read(list(waiting.values())), strict=True))
        return {name: float(value) for name, value in self.measured.items()}

    def scene_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Return the parameters of the scene by name; those that a guidance trains have optimisers of their own."""
        return [(name, value) for name, value in self.named_parameters() if not name.startswith(f"{PREFIX}.")]

    def begin(self) -> None:
        """Let guidances take what they keep of their views from the scene as it is before the first step."""
        for keeper in filter(None, (keeper_of(task.guidance) for task in self.tasks)):
            self.geometry.set_step(0)
            keeper.begin(self.scene)

    def prepare(self, step: int) -> None:
        """Let the scene adapt to the step, counted from 0: progressive settings, occupancy."""
        self.geometry.set_step(step)
        self.renderer.update(self.geometry, step, self.generator)

    def run_tasks(self, step: int) -> Roots:
        """Render and judge the views of every active task, and set `measured`; draws the views' random numbers.

        Raises:
            NonFiniteError: a loss is not finite; on an accelerator, raised when `metrics` are next read.
        """
        roots = Roots([], [])
        self.measured, self.results, self.cameras = {}, {}, {}
        own = self.share.generator(self.generator, step)
        for task in self.tasks:
            if task.times.active(step):
                self._run(task, step, own, roots)
        return roots

    def _run(self, task: RunningTask, step: int, own: torch.Generator, roots: Roots) -> None:
        cameras = task.views.sample(step, self.generator)
        shading = self.material.sample_shading(cameras, step, self.generator)
        if task.reference is not None and len(cameras) == 1:
            own = self.generator  # every process renders the photo's view, with the same random numbers
        else:
            cameras, shading = self.share.of(cameras, shading, task.name)
        self.cameras[task.name] = cameras
        rendered = self.renderer(
            cameras, self.geometry, self.material, self.background, shading,
            normal=task.needs_normal(step), generator=own,
        )  # fmt: skip
        guided = None
        if task.guidance is not None and task.condition is not None:
            condition = task.condition.for_view(cameras)
            guided = task.guidance(rendered, condition, cameras, step, own)
            self.results[task.name] = guided
            self.measured.update({f"{task.name}/{name}": value for name, value in guided.metrics.items()})
        inputs = LossInputs(rendered, cameras, self.geometry, step, own, task.reference)
        for term in task.terms:
            self._add(term, inputs, guided, task.name, roots)
        self.measured[f"{task.name}/opacity"] = rendered.opacity.detach().mean()

    def _add(self, term: Term, inputs: LossInputs, guided: Guided | None, task: str, roots: Roots) -> None:
        weight = term.weight.at(inputs.step)
        if weight == 0.0:
            return
        label = f"{task}/{term.name}"
        if term.loss is None and guided is not None and term.name in guided.gradients:
            tensor, gradient = guided.gradients[term.name]
            roots.tensors.append(tensor)
            roots.gradients.append(weight * gradient)
            return
        if term.loss is not None:
            value = term.loss(inputs)
        else:
            assert guided is not None  # the recipe's checks: a term without a loss is its guidance's
            value = guided.losses[term.name]
        self.measured[label] = value.detach()
        check_later(value, _finite_loss(label, inputs.step))
        roots.tensors.append(weight * value)
        roots.gradients.append(None)


def _finite_loss(label: str, step: int) -> Callable[[float], None]:
    """Return the check of a loss."""

    def check(number: float) -> None:
        if not math.isfinite(number):
            raise NonFiniteError(f"loss {label} is {number} at step {step}")

    return check
