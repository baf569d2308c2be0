"""A recipe: one whole run as data. Everything here is checked before torch is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from bozzetto.errors import ConfigError, did_you_mean
from bozzetto.fields import Range, Step, check_fields
from bozzetto.math.schedules import LAST_STEP, Schedule
from bozzetto.registry import Entry

DEVICES = ("auto", "cpu", "cuda", "mps")
"""Devices that a recipe may train on; `cuda:1` is the second GPU."""
DEVICE_PATTERN = r"auto|cpu|mps|cuda(:[0-9]{1,2})?"
"""The devices that a recipe may train on, as a regular expression."""
Seed = Annotated[int, Range(least=0, most=2**63 - 1)]
"""A seed that torch's generators take on every device."""
Weight = Annotated[Schedule, Range(least=-1e9, most=1e9)]
"""The weight of a loss."""
LearningRate = Annotated[Schedule, Range(least=0.0, most=10.0)]
Decay = Annotated[float, Range(least=0.0, most=0.999999)]
Every = Annotated[int, Range(least=1, most=LAST_STEP)]

TOP = {
    "name": "Name of the run folder below `output`; the file's name if left out.",
    "summary": "One line about the recipe.",
    "extends": "The recipe this one changes: the name of a shipped one, or a path.",
    "stand_ins": "What stands in for a part that is not here, a line each; every check and run says it again.",
    "provided_by": "The distribution that a bare name means where several provide it, by `KIND/NAME`, e.g. "
    "`{loss/sparsity: bozzetto}`; a run folder's recipe holds what each name meant.",
    "plugins": 'Distributions it needs, e.g. `["bozzetto-blocky>=1.2,<2"]`; checked first.',
    "prompt": "What to make; taken by the letter, never interpolated.",
    "negative_prompt": "What to keep away from.",
    "image": "A photo of what to make, for recipes that read one as `${image}`.",
    "seed": "Seeds every random number of the run.",
    "device": "Where it trains: `cpu`, `cuda`, `mps`, a GPU by number as `cuda:1`, or `auto`: what the machine has.",
    "output": "Folder of all run folders.",
    "system": "The scene, the tasks that pull on it, the optimiser.",
    "trainer": "How long a stage trains and what it leaves on the way.",
    "export": "Exporters by name; the name is the exporter's `type` unless it says another.",
    "stages": "Systems trained in order, each a change of `system` and `trainer`; left out: one, called `main`.",
    "profiles": "Changes by machine, `cpu`, `cuda`, `mps`, or by `--profile NAME`.",
}
"""The keys of a recipe and what they mean. Every path in a recipe is relative to the file that names it, or on the
command line to the working folder; `~` is the home folder."""
SYSTEM = {
    "geometry": "What is where.",
    "material": "From features, normals and light to colour.",
    "background": "The colour of a direction that hits nothing.",
    "renderer": "From a scene and cameras to pictures.",
    "prompt_processor": "From words to the conditioning of each view.",
    "tasks": "Renders and what pulls on them, by name.",
    "optimizer": "The optimiser of a stage.",
}
"""The keys of `system`."""
TASK = {
    "views": "The view source: which cameras the task looks through.",
    "guidance": "The image prior that judges the views; none for a task of losses alone.",
    "losses": "Weights by name: a number or schedule for a loss of the guidance or a loss component, or a mapping of "
    "`weight` and the component's fields.",
    "every": "Run in every n-th step.",
    "start_step": "First step.",
    "until_step": "First step at which it no longer runs; null: to the end.",
}
"""The keys of a task."""
STAGE = {
    "system": "Changes of the recipe's `system`.",
    "trainer": "Changes of the recipe's `trainer`.",
    "inherit": "Parts that start from the stage before: geometry, material, background.",
}
"""The keys of a stage."""
INHERITABLE = ("geometry", "material", "background")


@dataclass(frozen=True)
class Component:
    """A chosen component: which, and its checked config."""

    entry: Entry
    config: Any
    where: str

    @property
    def kind(self) -> str:
        return self.entry.spec.kind

    @property
    def name(self) -> str:
        return self.entry.spec.name

    @property
    def has_model(self) -> bool:
        """Whether it asks for weights: whether its config has a field `model`."""
        return hasattr(self.config, "model")

    @property
    def model(self) -> str:
        """The weights it asks for; empty if it asks for none."""
        return getattr(self.config, "model", "")


def device_of(value: object) -> str:
    """A recipe's `device`, checked.

    Raises:
        ConfigError: there is no such device.
    """
    if isinstance(value, str) and re.fullmatch(DEVICE_PATTERN, value):
        return value
    near = did_you_mean(str(value), DEVICES)
    raise ConfigError(f"device: {value!r} is not one of {', '.join(DEVICES)}.{near} A GPU by number: cuda:1.")


@dataclass(frozen=True)
class LossTerm:
    """One weighted term of a task; `component` is None for a loss that the task's guidance makes."""

    name: str
    weight: Schedule
    component: Component | None


@dataclass(frozen=True)
class TaskTimes:
    """When a task runs."""

    every: Every = 1
    """Run in every n-th step."""
    start_step: Step = 0
    """First step."""
    until_step: Step | None = None
    """First step at which it no longer runs; null: to the end."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.until_step is not None and not self.start_step < self.until_step:
            raise ValueError(f"until_step: must be after start_step ({self.start_step}), got {self.until_step}")

    def active(self, step: int) -> bool:
        """Whether the task runs in `step`."""
        before_end = self.until_step is None or step < self.until_step
        return self.start_step <= step and before_end and (step - self.start_step) % self.every == 0


@dataclass(frozen=True)
class Task:
    """One render and what pulls on it: a view source, perhaps a guidance, and weighted loss terms."""

    name: str
    views: Component
    guidance: Component | None
    terms: tuple[LossTerm, ...]
    times: TaskTimes


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimiser of a stage."""

    type: Literal["adam", "adamw"] = "adam"
    """Adam (Kingma and Ba 2015) or AdamW (decoupled weight decay)."""
    lr: LearningRate = Schedule.constant(0.01)
    """Learning rate of every parameter that `lr_of` does not name."""
    lr_of: dict[str, LearningRate] = field(default_factory=dict)
    """Learning rate by the longest matching prefix of a parameter's name, e.g. `{background: 0.001}`."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay of the running first and second moments."""
    eps: Annotated[float, Range(least=1e-30, most=1.0)] = 1e-15
    """Added to the denominator; tiny, as hash-grid gradients are (instant-ngp, sec. 4)."""
    weight_decay: Annotated[float, Range(least=0.0, most=1e3)] = 0.0
    """L2 (adam) or decoupled (adamw) decay."""
    clip_norm: Annotated[float, Range(least=1e-8, most=1e8)] | None = None
    """Scale gradients down to this global norm; null: never."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class TrainerConfig:
    """How long a stage trains and what it leaves on the way."""

    steps: Every = 10000
    """Optimiser steps."""
    log_every: Every = 10
    """Steps between rows of metrics."""
    image_every: Step = 100
    """Steps between validation pictures; 0: none."""
    image_views: Annotated[int, Range(least=1, most=64)] = 4
    """Views in a validation picture, evenly around the object."""
    checkpoint_every: Every = 250
    """Steps between checkpoints; the last one is always kept."""
    debug_every: Step = 0
    """Steps between pictures of what the guidance sees; 0: none."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Stage:
    """One system to train."""

    name: str
    geometry: Component
    material: Component
    background: Component
    renderer: Component
    prompt_processor: Component
    tasks: tuple[Task, ...]
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    inherit: tuple[str, ...] = ()
    """Parts (`geometry`, `material`, `background`) that start from the stage before."""

    @property
    def components(self) -> tuple[Component, ...]:
        """Every component of the stage."""
        parts = [self.geometry, self.material, self.background, self.renderer, self.prompt_processor]
        for task in self.tasks:
            parts += [task.views, *([task.guidance] if task.guidance else [])]
            parts += [term.component for term in task.terms if term.component]
        return tuple(parts)


@dataclass(frozen=True)
class Recipe:
    """A whole run."""

    name: str
    summary: str
    prompt: str
    """Empty only where there is an `image`."""
    negative_prompt: str
    seed: int
    device: str
    """One that `DEVICE_PATTERN` matches."""
    output: str
    profile: str
    profile_reason: str
    stages: tuple[Stage, ...]
    exports: tuple[tuple[str, Component], ...]
    """`(name in the recipe, exporter)`."""
    values: Mapping[str, Any]
    """The plain values all this came from, profile and overrides applied: what the run folder keeps."""
    image: str = ""
    """Absolute path of a photo of what to make; empty: none."""
    notices: tuple[str, ...] = ()
    """Notices for the person who runs it: overrides that do not reach every stage."""
    stand_ins: tuple[str, ...] = ()
    """Parts that only stand in for one that is wanted, in words."""

    @property
    def subject(self) -> str:
        """What is made, in words: the prompt, else the photo's name."""
        return self.prompt or Path(self.image).stem

    @property
    def components(self) -> tuple[Component, ...]:
        """Every component of every stage, and the exporters."""
        staged = [component for stage in self.stages for component in stage.components]
        return (*staged, *(component for _, component in self.exports))

    @property
    def distributions(self) -> dict[str, str]:
        """The version of every distribution whose components it uses."""
        return dict(sorted({component.entry.dist: component.entry.version for component in self.components}.items()))

    @property
    def provided_by(self) -> dict[str, str]:
        """The distribution of every component, by `kind/name`."""
        return dict(sorted({f"{item.kind}/{item.name}": item.entry.dist for item in self.components}.items()))
