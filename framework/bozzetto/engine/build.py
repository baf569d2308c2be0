"""Builds a system of live components from a checked stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bozzetto.engine.adaptation import take_rows
from bozzetto.engine.reference_photos import NEEDS, WithReferences, estimate_elevations, gather
from bozzetto.engine.scored import scored
from bozzetto.engine.system import RunningTask, System, Term
from bozzetto.errors import ConfigError
from bozzetto.kinds.geometry import Adaptive, Geometry, MadeFromSaved, module
from bozzetto.kinds.guidance import Guidance, UsesFurtherModels
from bozzetto.kinds.kept_views import KeepsViews
from bozzetto.kinds.notices import HasNotices
from bozzetto.kinds.prompt_processor import Condition, UsesModel
from bozzetto.kinds.scene import Scene
from bozzetto.kinds.view_source import FixedViews, ReferenceSource, ViewSource
from bozzetto.recipe import Component, Recipe, Stage, Task
from bozzetto.registry.discovery import Registry
from bozzetto.vocabulary import Vocabulary
from bozzetto.weights.plans import further_models

Report = Callable[[str], None]


def build_system(
    stage: Stage, recipe: Recipe, registry: Registry, folders: Mapping[str, Path], device: torch.device,
    cache: Path | None, report: Report, saved: Mapping[str, torch.Tensor] | None = None,
) -> System:  # fmt: skip
    """Build every component of a stage.

    Args:
        folders: weight folder of each guidance and prompt processor, by the name in the recipe.
        cache: folder of cached text embeddings; None: no cache.
        saved: weights of the checkpoint to be loaded; None for a new stage.
    """
    scene = build_scene(stage, recipe.seed, registry, device, saved)
    processor = make(registry, stage.prompt_processor, recipe.prompt, recipe.negative_prompt)
    if isinstance(processor, UsesModel):
        processor.use_model(folders[stage.prompt_processor.model], device)
    views = [make(registry, task.views) for task in stage.tasks]
    report_notices([scene.geometry, *views], report)
    guidances: dict[str, Guidance] = {}
    conditions: dict[str, Condition] = {}
    for task in stage.tasks:
        if task.guidance is not None:
            folder = weights_of(task.guidance, folders)
            guidance = guidances[task.name] = make(registry, task.guidance, folder, device)
            if isinstance(guidance, UsesFurtherModels) and (further := further_models(task.guidance)):
                guidance.use_models({name: folders[name] for name in further})
            if folder is not None:
                report_unknown_words(guidance, folder, recipe.prompt, report)
            conditions[task.name] = processor.encode(guidance, cache)
    report_notices([processor], report)
    estimate_elevations(views, list(guidances.values()), device, recipe.seed, report)
    references = gather(views, device)
    tasks = []
    for task, source in zip(stage.tasks, views, strict=True):
        condition = conditions.get(task.name)
        if task.guidance is not None and condition is not None and NEEDS in task.guidance.entry.spec.needs:
            condition = WithReferences(condition, references)
        tasks.append(build_task(task, source, guidances.get(task.name), condition, registry, device, recipe.seed))
    generator = torch.Generator(device=device).manual_seed(recipe.seed)
    return System(scene, tuple(tasks), stage.optimizer, generator)


def make(registry: Registry, component: Component, *arguments: Any) -> Any:
    """Construct a component: `Class(config, *arguments)`, as specified by its kind's protocol."""
    return registry.implementation(component.kind, f"{component.entry.dist}/{component.name}")(
        component.config, *arguments
    )


def make_geometry(registry: Registry, component: Component, saved: Mapping[str, torch.Tensor] | None) -> Any:
    """Construct a geometry into which its part of a checkpoint, if there is one, can be loaded.

    It is made from that part if it supports this, and has as many rows if their number changes during training.
    """
    if saved is None:
        return make(registry, component)
    kind = registry.implementation(component.kind, f"{component.entry.dist}/{component.name}")
    state = {name.removeprefix("geometry."): value for name, value in saved.items() if name.startswith("geometry.")}
    geometry: Geometry
    if issubclass(kind, MadeFromSaved):
        geometry = kind.from_saved(component.config, state)
    else:
        geometry = make(registry, component)
    if isinstance(geometry, Adaptive):
        take_rows(module(geometry), state)
    return geometry


def weights_of(guidance: Component, folders: Mapping[str, Path]) -> Path | None:
    """Return the weight folder of a guidance; None if its config has no field `model`."""
    return folders[guidance.model] if guidance.has_model else None


def build_scene(
    stage: Stage, seed: int, registry: Registry, device: torch.device, saved: Mapping[str, torch.Tensor] | None = None
) -> Scene:
    """Build the trainable parts of a stage, freshly initialised from `seed`.

    Args:
        saved: weights of the checkpoint to be loaded; files that it replaces are not read.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        geometry = make_geometry(registry, stage.geometry, saved)
        material = make(registry, stage.material, geometry.feature_count)
        background = make(registry, stage.background)
        renderer = make(registry, stage.renderer, geometry.radius)
    views = make(registry, stage.tasks[0].views)
    for part in (geometry, material, background, renderer):
        if not isinstance(part, nn.Module):
            raise ConfigError(f"{type(part).__name__} must be a torch.nn.Module to be trained and saved.")
        part.to(device)
    return Scene(geometry, material, background, renderer, views, device)


def build_task(
    task: Task, views: ViewSource, guidance: Guidance | None, condition: Any, registry: Registry, device: torch.device,
    seed: int = 0,
) -> RunningTask:  # fmt: skip
    """Build a task with its losses; `seed` is of what its score trains."""
    terms = []
    for term in task.terms:
        loss = make(registry, term.component) if term.component else None
        needs_normal = term.component is not None and "normal" in term.component.entry.spec.needs
        terms.append(Term(term.name, term.weight, loss, needs_normal))
    reference = views.reference(device) if isinstance(views, ReferenceSource) else None
    kept = None
    if isinstance(guidance, KeepsViews) and isinstance(views, FixedViews):
        kept = guidance.keep(views.every_camera(device))
    if task.score is not None and guidance is not None:
        guidance = scored(guidance, make(registry, task.score), seed)
    return RunningTask(task.name, task.times, views, guidance, condition, tuple(terms), reference, kept)


def report_notices(components: Iterable[object], report: Report) -> None:
    """Report how components interpreted the files they read, each notice once."""
    found = [text for component in components if isinstance(component, HasNotices) for text in component.notices]
    for text in dict.fromkeys(found):
        report(f"notice    {text}")


def report_unknown_words(guidance: Guidance, folder: Path, prompt: str, report: Report) -> None:
    """Report the words of the prompt unknown to the model, and the words that it knows."""
    unknown, vocabulary = guidance.unknown_words(prompt), Vocabulary.read(folder)
    if unknown and vocabulary is not None:
        report(f"notice    {vocabulary.notice(unknown, folder)}")
