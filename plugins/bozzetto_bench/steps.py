"""Profiles whole training steps of a recipe, with a clock at each part."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from bozzetto.engine.build import build_scene, build_task, make
from bozzetto.engine.loop import Loop
from bozzetto.engine.optimizer import make_optimizer
from bozzetto.engine.system import Roots, RunningTask, System
from bozzetto.kinds.guidance import Guidance
from bozzetto.recipe import Recipe, Task
from bozzetto.registry.discovery import Registry
from bozzetto.types import Cameras, Guided, Rendered, ViewCondition
from bozzetto_bench.clock import Clock, replaced
from bozzetto_bench.timing import Now

PRIOR = ("prior: encode", "prior: denoise", "prior: rest", "prior: backward")
SCENE = ("occupancy", "render", "backward", "optimiser", "rest")


@dataclass(frozen=True)
class StepTimes:
    """Times and sample counts of a training step."""

    whole: float
    """Seconds per step, median over steps."""
    parts: Mapping[str, float]
    """Seconds by part: median over steps, except for `occupancy`, whose mean is taken since only some steps update it.
    """
    rays: int
    samples: float
    """Samples per step, mean."""
    samples_per_hit: float
    """Samples per ray that has samples, mean."""

    @property
    def scene_share(self) -> float:
        """Share of the step that is not spent in the prior, in [0, 1]."""
        total = sum(self.parts.values())
        return 1.0 - sum(self.parts.get(part, 0.0) for part in PRIOR) / total


@dataclass
class NoPrior:
    """Stand-in for a guidance and its conditions: pulls every pixel in a random direction at no cost."""

    losses: Sequence[str]
    """Names of the losses to return."""
    text_model_id: str = "none"

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Return zeros, "T 1 1"."""
        return torch.zeros(len(texts), 1, 1)

    def unknown_words(self, text: str) -> Sequence[str]:
        """Return nothing: there is no vocabulary."""
        return ()

    def needs_normal(self, step: int) -> bool:
        """Return False."""
        return False

    def for_view(self, cameras: Cameras) -> ViewCondition:
        """Return zero embeddings for every view."""
        nothing = torch.zeros(len(cameras), 1, 1)
        return ViewCondition(nothing, nothing)

    def __call__(
        self, rendered: Rendered, condition: ViewCondition, cameras: Cameras, step: int, generator: torch.Generator
    ) -> Guided:
        """Return losses that pull each pixel in a random direction."""
        pull = torch.randn(rendered.image.shape, generator=generator, device=rendered.image.device)
        loss = (rendered.image * pull).mean()
        return Guided(dict.fromkeys(self.losses, loss), torch.zeros(len(cameras), dtype=torch.long))


def system_without_prior(recipe: Recipe, registry: Registry, device: torch.device) -> System:
    """Build the first stage of a recipe, freshly initialised, with `NoPrior` in place of each guidance."""
    stage = recipe.stages[0]
    tasks = tuple(_without_prior(task, registry, device) for task in stage.tasks)
    generator = torch.Generator(device=device).manual_seed(recipe.seed)
    return System(build_scene(stage, recipe.seed, registry, device), tasks, stage.optimizer, generator)


def time_steps(system: System, steps: int, warm_up: int = 2, now: Now = time.perf_counter) -> StepTimes:
    """Train for a few steps and time those after the warm-up."""
    clock = Clock(now)
    seen = _Seen()
    loop = Loop(system, make_optimizer(system.scene_parameters(), system.optimizer_config))
    loop.optimizer.register_step_pre_hook(lambda *arguments: clock.open("optimiser"))
    loop.optimizer.register_step_post_hook(lambda *arguments: clock.close("optimiser"))
    with ExitStack() as stack:
        for change in _clocked(system, clock, seen):
            stack.enter_context(change)
        for _ in range(warm_up + steps):
            clock.start()
            loop.step()
            clock.stop()
    times = clock.steps[warm_up:]
    parts = {part: statistics.median(step.get(part, 0.0) for step in times) for part in (*PRIOR, *SCENE)}
    parts["occupancy"] = statistics.mean(step.get("occupancy", 0.0) for step in times)
    parts["rest"] = statistics.median(2 * step["step"] - sum(step.values()) + step.get("rest", 0.0) for step in times)
    whole = statistics.median(step["step"] for step in times)
    return StepTimes(whole, {part: seconds for part, seconds in parts.items() if seconds > 0.0}, *seen.summary(warm_up))


@dataclass
class _Seen:
    """Ray and sample counts of each render."""

    rays: list[int] = field(default_factory=list)
    counts: list[Tensor] = field(default_factory=list)

    def look(self, rendered: Rendered) -> None:
        self.rays.append(rendered.opacity.numel())
        offsets = rendered.volume.samples.offsets if rendered.volume is not None else torch.zeros(1, dtype=torch.long)
        self.counts.append(offsets.diff())

    def summary(self, warm_up: int) -> tuple[int, float, float]:
        counts = torch.cat(self.counts[warm_up:]).float()
        hit = counts[counts > 0]
        per_step = float(counts.sum()) / max(len(self.counts) - warm_up, 1)
        return self.rays[-1], per_step, float(hit.mean()) if len(hit) else 0.0


def _clocked(system: System, clock: Clock, seen: _Seen) -> Iterator[Any]:
    """Yield context managers that time each part of a system and restore it on exit."""
    yield replaced(system.renderer, "update", clock.timed("occupancy", system.renderer.update))
    if not isinstance(system.renderer, nn.Module):
        raise TypeError(f"renderer {type(system.renderer).__name__} must be a torch.nn.Module")
    yield _watched_renderer(system.renderer, clock, seen)
    tasks = []
    for task in system.tasks:
        denoiser = getattr(getattr(task.guidance, "guidance", task.guidance), "denoiser", None)  # below a score, too
        for method, part in (("encode", "prior: encode"), ("predict", "prior: denoise")):
            if hasattr(denoiser, method):
                yield replaced(denoiser, method, clock.timed(part, getattr(denoiser, method)))
        timed = None if task.guidance is None else _TimedGuidance(task.guidance, clock)
        tasks.append(replace(task, guidance=timed))
    yield replaced(system, "tasks", tuple(tasks))
    yield replaced(Roots, "backward", clock.timed("backward", Roots.backward))


@contextmanager
def _watched_renderer(renderer: nn.Module, clock: Clock, seen: _Seen) -> Iterator[None]:
    """Time the forward pass, and attribute the backward time until the gradient reaches the image to the prior."""

    def after(module: nn.Module, inputs: Any, rendered: Rendered) -> None:
        clock.close("render")
        seen.look(rendered)
        if rendered.image.requires_grad:
            rendered.image.register_hook(lambda gradient: clock.move("backward", "prior: backward"))

    hooks = [
        renderer.register_forward_pre_hook(lambda *arguments: clock.open("render")),
        renderer.register_forward_hook(after),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _TimedGuidance:
    """Guidance whose call is timed."""

    def __init__(self, inner: Guidance, clock: Clock) -> None:
        self.inner, self.clock = inner, clock
        self.text_model_id = inner.text_model_id

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return self.inner.encode_text(texts)

    def unknown_words(self, text: str) -> Sequence[str]:
        return self.inner.unknown_words(text)

    def needs_normal(self, step: int) -> bool:
        return self.inner.needs_normal(step)

    def __call__(
        self, rendered: Rendered, condition: ViewCondition, cameras: Cameras, step: int, generator: torch.Generator
    ) -> Guided:
        part = "rest" if isinstance(self.inner, NoPrior) else "prior: rest"
        run: Callable[..., Guided] = self.clock.timed(part, self.inner)
        return run(rendered, condition, cameras, step, generator)


def _without_prior(task: Task, registry: Registry, device: torch.device) -> RunningTask:
    stand_in = NoPrior([term.name for term in task.terms if term.component is None])
    return build_task(task, make(registry, task.views), stand_in, stand_in, registry, device)
