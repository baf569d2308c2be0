"""Text printed before a run starts, and by a dry run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from bozzetto.config.binding import plain
from bozzetto.machine.gpu_memory import gpu_memory
from bozzetto.math.schedules import Schedule
from bozzetto.recipe import Component, Recipe, Stage
from bozzetto.vocabulary import Vocabulary
from bozzetto.weights.plans import ModelPlan, further_models


def header(recipe: Recipe, plans: Mapping[str, ModelPlan], source: str) -> list[str]:
    """Return the first lines of a run: recipe, profile and weights, and how to choose others."""
    prompt = f': "{recipe.prompt}"   (another: prompt="...")' if recipe.prompt else ""
    lines = [f"recipe    {source}{prompt}"]
    if recipe.image:
        lines.append(f"photo     {recipe.image}   (another: image=photo.png)")
    lines.append(f"profile   {recipe.profile}: {recipe.profile_reason}   (another: --profile NAME)")
    for stage in recipe.stages:
        for part in (*(task.guidance for task in stage.tasks), stage.prompt_processor):
            if part is not None and part.has_model:
                text = plans[part.model].describe()
                lines.append(f"weights   {text}   (another: {part.where}.model=NAME)")
                lines += [f"weights   {plans[name].describe()}" for name in further_models(part)]
    return list(dict.fromkeys([*lines, *notices(recipe.stand_ins)]))


def notices(texts: Iterable[str]) -> list[str]:
    """Return notices as lines, without duplicates."""
    return [f"notice    {text}" for text in dict.fromkeys(texts)]


def prompt_line(recipe: Recipe) -> str:
    """Return the line with the prompt and the negative prompt."""
    return f'prompt    "{recipe.prompt}"' + (f', negative "{recipe.negative_prompt}"' if recipe.negative_prompt else "")


def plan_report(recipe: Recipe, plans: Mapping[str, ModelPlan]) -> str:
    """Return the report of everything that a run would build and load."""
    lines = [
        f"recipe    {recipe.name}: {recipe.summary}",
        *([f"photo     {recipe.image}"] if recipe.image else []),
        *([prompt_line(recipe)] if recipe.prompt else []),
        f"profile   {recipe.profile}: {recipe.profile_reason}",
        f"device    {recipe.device}",
        f"seed      {recipe.seed}",
    ]
    lines.append(f"plugins   {', '.join(f'{dist} {version}' for dist, version in recipe.distributions.items())}")
    lines += [f"weights   {item.describe()}" for item in plans.values()]
    lines += [f"memory    {item.memory}" for item in plans.values()]
    lines += notices(text for item in plans.values() if (text := unknown_words(recipe.prompt, item)))
    lines += notices((*recipe.stand_ins, *recipe.notices))
    sizes = {name: item.kept_bytes for name, item in plans.items()}
    for stage in recipe.stages:
        lines += stage_report(stage)
        if recipe.device.startswith("cuda"):
            lines.append(f"  memory            {gpu_memory(stage, sizes).describe()}")
    lines += [f"export    {name}: {component_line(component)}" for name, component in recipe.exports]
    return "\n".join(lines)


def unknown_words(prompt: str, plan: ModelPlan) -> str:
    """Return the notice on prompt words unknown to a model on this machine; empty if there are none."""
    vocabulary = Vocabulary.read(plan.folder) if plan.folder else None
    unknown = vocabulary.unknown(prompt) if vocabulary else ()
    return vocabulary.notice(unknown, plan.folder) if vocabulary and plan.folder and unknown else ""


def stage_report(stage: Stage) -> list[str]:
    """Return the lines of a stage, one per component."""
    lines = [
        f"\nstage     {stage.name}: {stage.trainer.steps} steps, {stage.optimizer.type}, lr {plain(stage.optimizer.lr)}"
    ]
    for part in stage.parts:
        lines.append(f"  {part.kind:<17} {component_line(part)}")
    for task in stage.tasks:
        lines.append(f"  task {task.name}: every {task.times.every} step(s) from step {task.times.start_step}")
        lines.append(f"    views           {component_line(task.views)}")
        if task.guidance is not None:
            lines.append(f"    guidance        {component_line(task.guidance)}")
        if task.score is not None:
            lines.append(f"    score           {component_line(task.score)}")
        for term in task.terms:
            lines.append(f"    loss            {term.name} x {plain(term.weight)}")
    return lines


def _changed(config: Any, default: Any) -> dict[str, Any]:
    """Return the plain values that differ from the defaults; of a nested config, what differs in it."""
    found = {}
    for item in fields(config):
        value = getattr(config, item.name)
        below = None if default is None else getattr(default, item.name)
        if default is None or value != below:
            nested = is_dataclass(value) and not isinstance(value, Schedule) and type(value) is type(below)
            found[item.name] = _changed(value, below) if nested else plain(value)
    return found


def component_line(component: Component) -> str:
    """Return `hash-grid (bozzetto 0.1.0) levels=12 ...`: the fields that differ from their defaults."""
    config = component.config
    try:
        default = type(config)()
    except TypeError:  # a config with required fields has no defaults to compare with
        default = None
    changed = [f"{key}={shown}" for key, shown in _changed(config, default).items()]
    return " ".join([f"{component.name} ({component.entry.dist} {component.entry.version})", *changed])
