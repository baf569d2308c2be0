"""Estimate of the GPU memory of a stage, from its config alone. No torch.

The weights are those of the model's plan. A component's config may declare the rest by a method: a guidance
`kept_bytes(views)` and `passing_bytes(views)`, a renderer `gpu_bytes(pixels)`, a view source `size_at(step)`. All
tasks of a step are back-propagated together, so what they keep adds up. Estimates are for the kernels' torch forms and
a scene that fills an eighth of the cube's rays, as at the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bozzetto.machine.capacity import LOCKED_BYTES, TRAINED_BYTES
from bozzetto.parameters import stage_specs
from bozzetto.recipe import Component, Stage, Task

CONTEXT_BYTES = 600 << 20
"""CUDA's own memory, with cuDNN and cuBLAS."""
GIB = float(1 << 30)


@dataclass(frozen=True)
class GpuMemory:
    """Bytes of a stage on a GPU, by what takes them."""

    weights: int
    """Frozen networks that stay."""
    networks: int | None
    """Activations of encoder and denoiser; None: a guidance does not say, and the total leaves them out."""
    scene: int
    """Samples or pixels of all views of a step, with what their backward pass keeps."""
    parameters: int
    """Trained parameters, gradients and moments."""

    @property
    def total(self) -> int:
        """Sum, with CUDA's own memory."""
        return self.weights + (self.networks or 0) + self.scene + self.parameters + CONTEXT_BYTES

    def describe(self) -> str:
        """Describe the estimate in one line."""
        sizes = {name: getattr(self, name) for name in ("weights", "networks", "scene", "parameters")}
        parts = [f"{name} {'not known' if size is None else f'{size / GIB:.1f}'}" for name, size in sizes.items()]
        how_much = "at least" if self.networks is None else "about"
        return (
            f"{how_much} {self.total / GIB:.1f} GiB on a GPU ({', '.join(parts)}; worked out for torch kernels, not "
            "measured)"
        )


def gpu_memory(stage: Stage, model_bytes: Mapping[str, int]) -> GpuMemory:
    """Return the estimate of a stage at its largest step.

    Args:
        model_bytes: bytes of the half-precision weights of each model that stay during training, without text encoders
            that are freed before; by its name in the recipe, 0 if unknown.
    """
    guided = [task for task in stage.tasks if task.guidance is not None]
    steps = sorted({0, *(milestone for task in stage.tasks for milestone in _milestones(task))})
    scene = max(sum(_scene(stage.renderer, task, step) for task in stage.tasks) for step in steps)
    says = all(hasattr(task.guidance.config, "kept_bytes") for task in guided if task.guidance is not None)
    networks = max(_networks(guided, step) for step in steps) if says else None
    return GpuMemory(_weights(guided, model_bytes), networks, scene, _parameters(stage))


def _milestones(task: Task) -> tuple[int, ...]:
    return tuple(getattr(task.views.config, "resolution_milestones", ()))


def _size(views: Component, step: int) -> tuple[int, ...]:
    """Return (views, height, width) of a step, or (height, width) of one view; empty if the config does not say."""
    return tuple(views.config.size_at(step)) if hasattr(views.config, "size_at") else ()


def _scene(renderer: Component, task: Task, step: int) -> int:
    size = _size(task.views, step)
    per_step = getattr(renderer.config, "gpu_bytes", None)
    return int(per_step(math.prod(size))) if size and per_step else 0


def _networks(guided: list[Task], step: int) -> int:
    kept, passing = 0, 0
    for task in guided:
        assert task.guidance is not None  # of guided tasks
        config, size = task.guidance.config, _size(task.views, step)
        views = size[0] if len(size) == 3 else 1
        kept += int(config.kept_bytes(views))
        passing = max(passing, int(config.passing_bytes(views)))
    return kept + passing


def _weights(guided: list[Task], model_bytes: Mapping[str, int]) -> int:
    """Return the bytes of all models; of those that are offloaded only the largest is on the GPU at a time."""
    stay, turns = 0, [0]
    for task in guided:
        assert task.guidance is not None  # of guided tasks
        size = model_bytes.get(task.guidance.model, 0)
        if getattr(task.guidance.config, "cpu_offload", "none") == "none":
            stay += size
        else:
            turns.append(size)
    return stay + max(turns)


def _parameters(stage: Stage) -> int:
    specs = [spec for found in stage_specs(stage).values() for spec in (found or {}).values()]
    return sum(spec.size * (TRAINED_BYTES if spec.trained else LOCKED_BYTES) for spec in specs)
