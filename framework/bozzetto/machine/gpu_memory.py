"""Estimate of the GPU memory of a stage, from its config alone. No torch.

The weights are those of the model's plan. A component's config may declare the rest by a method: a guidance
`kept_bytes(views)` and `passing_bytes(views)`, a renderer the same two of pixels, a view source `size_at(step)`.
All tasks of a step are back-propagated together, so what they keep adds up; what passes is there one at a time.
Estimates are for the kernels' torch forms and a scene that fills an eighth of the cube's rays, as at the start.
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
    """Activations that encoders keep for the backward pass; None: a guidance does not say, the total leaves it out."""
    scene: int
    """Samples or pixels of all views of a step, with what their backward pass needs."""
    passing: int
    """The most that one part, an encoder, a denoiser or the torch kernels, needs for a while besides."""
    parameters: int
    """Trained parameters, gradients and moments."""

    @property
    def total(self) -> int:
        """Sum, with CUDA's own memory."""
        return self.weights + (self.networks or 0) + self.scene + self.passing + self.parameters + CONTEXT_BYTES

    def describe(self) -> str:
        """Describe the estimate in one line."""
        sizes = {name: getattr(self, name) for name in ("weights", "networks", "scene", "passing", "parameters")}
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
    says = all(hasattr(task.guidance.config, "kept_bytes") for task in guided if task.guidance is not None)
    found = []
    for step in steps:
        rendering, shading = _scene(stage, step)
        encoding, guiding = _networks(guided, step) if says else (0, 0)
        found.append((rendering, encoding, max(shading, guiding)))
    scene, networks, passing = max(found, key=sum)
    return GpuMemory(_weights(guided, model_bytes), networks if says else None, scene, passing, _parameters(stage))


def _milestones(task: Task) -> tuple[int, ...]:
    return tuple(getattr(task.views.config, "resolution_milestones", ()))


def _size(views: Component, step: int) -> tuple[int, ...]:
    """Return (views, height, width) of a step, or (height, width) of one view; empty if the config does not say."""
    return tuple(views.config.size_at(step)) if hasattr(views.config, "size_at") else ()


def _scene(stage: Stage, step: int) -> tuple[int, int]:
    """Return the bytes that all views of a step keep, and the most that those of a task need for a while."""
    config, sizes = stage.renderer.config, [_size(task.views, step) for task in stage.tasks]
    if not hasattr(config, "kept_bytes"):
        return 0, 0
    pixels = [math.prod(size) for size in sizes if size]
    passing = max((int(config.passing_bytes(count)) for count in pixels), default=0)
    return sum(int(config.kept_bytes(count)) for count in pixels), passing


def _networks(guided: list[Task], step: int) -> tuple[int, int]:
    """Return the bytes that the encoders of all tasks keep, and the most that one network needs for a while."""
    kept, passing = 0, 0
    for task in guided:
        assert task.guidance is not None  # of guided tasks
        config, size = task.guidance.config, _size(task.views, step)
        views = size[0] if len(size) == 3 else 1
        kept += int(config.kept_bytes(views))
        passing = max(passing, int(config.passing_bytes(views)))
    return kept, passing


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
