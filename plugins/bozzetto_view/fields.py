"""Fields that a page offers to change while a run trains: key, meaning and value as text. No torch, no viser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import yaml

from bozzetto.config.layers import LETTERS
from bozzetto.math.schedules import Schedule
from bozzetto.recipe import Recipe, Stage, Task

OF_VIEWS = ("elevation_deg", "azimuth_deg", "distance", "fov_y_deg")
"""Ranges of cameras, of view sources that have them."""


@dataclass(frozen=True)
class Field:
    """Field of a recipe, and its value."""

    key: str
    """Dotted key, as in an override."""
    label: str
    text: str
    """Value: letters as they are, else YAML."""


def fields_of(recipe: Recipe, stage: Stage) -> tuple[Field, ...]:
    """Return the fields of a stage that are changed most: prompt, guidance scale, learning rate, camera ranges."""
    prefix = f"stages.{stage.name}." if len(recipe.stages) > 1 else ""
    found = [
        Field("prompt", "prompt", recipe.prompt),
        Field("negative_prompt", "negative prompt", recipe.negative_prompt),
        Field(f"{prefix}system.optimizer.lr", "learning rate", text_of(stage.optimizer.lr)),
    ]
    several = len(stage.tasks) > 1
    for task in stage.tasks:
        for part, value in _of_task(task):
            label = part.rpartition(".")[2].replace("_", " ")
            found.append(
                Field(
                    f"{prefix}system.tasks.{task.name}.{part}",
                    f"{task.name}: {label}" if several else label,
                    text_of(value),
                )
            )
    return tuple(found)


def _of_task(task: Task) -> Iterator[tuple[str, Any]]:
    scored = task.score is not None
    if scored and (guider := getattr(task.score and task.score.config, "guider", None)) is not None:
        if hasattr(guider, "scale"):
            yield "score.guider.scale", guider.scale
    elif task.guidance is not None and hasattr(task.guidance.config, "cfg_scale"):
        yield "guidance.cfg_scale", task.guidance.config.cfg_scale
    for name in OF_VIEWS:
        if hasattr(task.views.config, name) and "reference" not in task.views.entry.spec.provides:
            yield f"views.{name}", getattr(task.views.config, name)


def text_of(value: Any) -> str:
    """Return a value of a config as text that `value_of` reads back."""
    text: str = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def value_of(key: str, text: str) -> Any:
    """Return the plain value that a text stands for: letters as they are, else YAML.

    Raises:
        ValueError: it is no YAML.
    """
    if key in LETTERS:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{text!r} is not a YAML value, such as 0.01, [10, 45] or {{from: 1, to: 2}}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value.as_yaml()
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
