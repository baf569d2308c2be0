"""Recipe records: one whole run as data, checked before torch is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from bozzetto.errors import ConfigError, did_you_mean
from bozzetto.fields import Range, Step, check_fields
from bozzetto.kernels.settings import Package
from bozzetto.kinds import KINDS, SYSTEM_KINDS, TASK_KINDS
from bozzetto.math.schedules import LAST_STEP, Schedule
from bozzetto.spec import Entry

__all__ = [
    "DEVICES", "DEVICE_PATTERN", "INHERITABLE", "STAGE", "SYSTEM", "TASK", "TOP", "Component", "Decay", "Every",
    "LearningRate", "LossTerm", "OptimizerConfig", "Recipe", "Seed", "Stage", "Task", "TaskTimes", "TrainerConfig",
    "Weight", "device_of",
]  # fmt: skip

DEVICES = ("auto", "cpu", "cuda", "mps")
DEVICE_PATTERN = r"auto|cpu|mps|cuda(:[0-9]{1,2})?"
Seed = Annotated[int, Range(least=0, most=2**63 - 1)]
Weight = Annotated[Schedule, Range(least=-1e9, most=1e9)]
LearningRate = Annotated[Schedule, Range(least=0.0, most=10.0)]
Decay = Annotated[float, Range(least=0.0, most=0.999999)]
Every = Annotated[int, Range(least=1, most=LAST_STEP)]

TOP = {
    "name": "Name of the run folder below `output`; the file's name if left out.",
    "summary": "One line about the recipe.",
    "extends": "Recipe that this one modifies: the name of a shipped one, or a path.",
    "stand_ins": "Notices on missing parts and their substitutes, one line each; repeated by every check and run.",
    "provided_by": "Distribution of a component name that several provide, by `KIND/NAME`, e.g. "
    "`{loss/sparsity: bozzetto}`, and of a model by `model/ALIAS`; a run folder's recipe lists all of them.",
    "plugins": 'Required distributions, e.g. `["bozzetto-blocky>=1.2,<2"]`; checked first.',
    "prompt": "Text prompt; a literal string without interpolation.",
    "negative_prompt": "Negative prompt.",
    "image": "Path of the input photo, for recipes that read it as `${image}`.",
    "seed": "Seed of every random number of the run.",
    "device": "Training device: `cpu`, `cuda`, `mps`, a GPU by number as `cuda:1`, or `auto`: the best available.",
    "output": "Parent folder of all run folders.",
    "report": "Whether packages may write a report of the run into its folder; default: true.",
    "system": "The scene, the tasks that train it, the optimiser.",
    "trainer": "Length of a stage's training, and its outputs.",
    KINDS["exporter"].key: KINDS["exporter"].meaning,
    "stages": "Stages by name, in training order, with changes of `system` and `trainer`; default: one, named `main`.",
    "profiles": "Changes by device, `cpu`, `cuda`, `mps`, or by `--profile NAME`.",
}
"""Keys of a recipe and their meaning. Paths are relative to the file that gives them, or on the command line to the
working folder; `~` is the home folder."""
SYSTEM = {
    **{kind.key: kind.meaning for kind in SYSTEM_KINDS},
    "tasks": "Rendered views and their losses, by name.",
    "optimizer": "The optimiser of a stage.",
}
"""Keys of `system` and their meaning."""
TASK = {
    **{kind.key: kind.meaning for kind in TASK_KINDS},
    "every": "Run in every n-th step.",
    "start_step": "First step.",
    "until_step": "First step at which it no longer runs; null: to the end.",
}
STAGE = {
    "system": "Changes of the recipe's `system`.",
    "trainer": "Changes of the recipe's `trainer`.",
    "inherit": "Parts initialised from the previous stage: geometry, material, background.",
}
"""Keys of a stage and their meaning."""
INHERITABLE = ("geometry", "material", "background")


@dataclass(frozen=True)
class Component:
    """Selected component and its checked config."""

    entry: Entry
    config: Any
    where: str

    @property
    def kind(self) -> str:
        """Kind of the component, e.g. `geometry`."""
        return self.entry.spec.kind

    @property
    def name(self) -> str:
        """Name from the manifest, without the distribution, e.g. `hash-grid`."""
        return self.entry.spec.name

    @property
    def has_model(self) -> bool:
        """True if it requires weights, i.e. if its config has a field `model`."""
        return hasattr(self.config, "model")

    @property
    def model(self) -> str:
        """Name of the required weights; empty if it requires none."""
        return getattr(self.config, "model", "")


def device_of(value: object) -> str:
    """Check and return a recipe's `device`; raise `ConfigError` if there is no such device."""
    if isinstance(value, str) and re.fullmatch(DEVICE_PATTERN, value):
        return value
    near = did_you_mean(str(value), DEVICES)
    raise ConfigError(f"device: {value!r} is not one of {', '.join(DEVICES)}.{near} A GPU by number: cuda:1.")


@dataclass(frozen=True)
class LossTerm:
    """Weighted loss of a task; `component` is None for a loss computed by the task's score or guidance."""

    name: str
    weight: Schedule
    component: Component | None


@dataclass(frozen=True)
class TaskTimes:
    """Steps in which a task is active."""

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
        """Return whether the task runs in `step`."""
        before_end = self.until_step is None or step < self.until_step
        return self.start_step <= step and before_end and (step - self.start_step) % self.every == 0


@dataclass(frozen=True)
class Task:
    """Task of a stage: a view source, an optional guidance with an optional score, and weighted losses."""

    name: str
    views: Component
    guidance: Component | None
    terms: tuple[LossTerm, ...]
    times: TaskTimes
    score: Component | None = None

    @property
    def components(self) -> tuple[Component, ...]:
        """All components of the task."""
        return tuple(one for one in (self.views, self.guidance, self.score, *(t.component for t in self.terms)) if one)


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser settings of a stage."""

    type: Literal["adam", "adamw"] = "adam"
    """Adam (Kingma and Ba 2015) or AdamW (decoupled weight decay)."""
    lr: LearningRate = Schedule.constant(0.01)
    """Learning rate of every parameter without a match in `lr_of`."""
    lr_of: dict[str, LearningRate] = field(default_factory=dict)
    """Learning rate by the longest matching prefix of a parameter's name, e.g. `{background: 0.001}`."""
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay rates of the running first and second moments."""
    eps: Annotated[float, Range(least=1e-30, most=1.0)] = 1e-15
    """Added to the denominator; tiny, as hash-grid gradients are (instant-ngp, sec. 4)."""
    weight_decay: Annotated[float, Range(least=0.0, most=1e3)] = 0.0
    """L2 (adam) or decoupled (adamw) weight decay."""
    clip_norm: Annotated[float, Range(least=1e-8, most=1e8)] | None = None
    """Maximum global gradient norm; null: no clipping."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class TrainerConfig:
    """Length of a stage's training, and its outputs."""

    steps: Every = 10000
    """Number of optimiser steps."""
    devices: Annotated[int, Range(least=1, most=64)] = 1
    """Number of processes that train the stage together, with a GPU each on `cuda`: each renders its share of the views
    of a step, and the gradients are averaged. The batch size of each task must be a multiple."""
    kernels: tuple[Package, ...] = ("warp",)
    """On a GPU each kernel runs on the first of these that serves it, else as torch operations; see docs/gpu.md."""
    deterministic: bool = False
    """Make training on a GPU repeatable to the last bit, as it is on a CPU; slower."""
    log_every: Every = 10
    """Steps between rows of metrics."""
    image_every: Step = 100
    """Steps between validation images; 0: none."""
    image_views: Annotated[int, Range(least=1, most=64)] = 4
    """Views in a validation image, evenly around the object."""
    checkpoint_every: Every = 250
    """Steps between checkpoints; the last one is always kept."""
    debug_every: Step = 0
    """Steps between debug images of the guidance; 0: none."""
    tf32: bool = False
    """Multiply float32 matrices on a GPU in TensorFloat-32: faster, with the mantissa of float16."""
    cudnn_benchmark: bool = False
    """Let cuDNN try its convolutions for each new shape and keep the fastest; results may differ between runs."""
    loggers: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)
    """Where numbers and images are logged, too: TensorBoard; wandb, with the GLB: `pip install 'bozzetto[wandb]'`."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.deterministic and self.cudnn_benchmark:
            raise ValueError("cudnn_benchmark: what is fastest differs from run to run, but deterministic is true")


@dataclass(frozen=True)
class Stage:
    """System to train."""

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
    """Parts (`geometry`, `material`, `background`) that are initialised from the previous stage."""

    @property
    def parts(self) -> tuple[Component, ...]:
        """Components with a key of their own in `system`."""
        return tuple(getattr(self, kind.key) for kind in SYSTEM_KINDS)

    @property
    def components(self) -> tuple[Component, ...]:
        """All components of the stage."""
        return (*self.parts, *(component for task in self.tasks for component in task.components))


@dataclass(frozen=True)
class Recipe:
    """Whole run."""

    name: str
    summary: str
    prompt: str
    """Prompt; empty only if there is an `image`."""
    negative_prompt: str
    seed: int
    device: str
    output: str
    profile: str
    profile_reason: str
    stages: tuple[Stage, ...]
    exports: tuple[tuple[str, Component], ...]
    """`(name in the recipe, exporter)`."""
    values: Mapping[str, Any]
    """Plain values of the recipe, profile and overrides applied, as kept in the run folder."""
    image: str = ""
    """Absolute path of the input photo; empty: none."""
    notices: tuple[str, ...] = ()
    """Notices for the user: overrides that do not affect every stage."""
    stand_ins: tuple[str, ...] = ()
    """Descriptions of parts that are only substitutes, or are missing."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Distribution of each model that the recipe gives by a bare alias."""
    report: bool = True

    @property
    def subject(self) -> str:
        """Description of the object: the prompt, else the photo's name."""
        return self.prompt or Path(self.image).stem

    @property
    def mesh_exporters(self) -> tuple[tuple[str, Component], ...]:
        """Exporters that write meshes, i.e. whose config has a field `formats`, with their names in the recipe."""
        return tuple(item for item in self.exports if hasattr(item[1].config, "formats"))

    @property
    def components(self) -> tuple[Component, ...]:
        """All components of every stage, and the exporters."""
        return (*(one for stage in self.stages for one in stage.components), *(one for _, one in self.exports))

    @property
    def distributions(self) -> dict[str, str]:
        """Version of every distribution with a component in the recipe."""
        return dict(sorted({component.entry.dist: component.entry.version for component in self.components}.items()))

    @property
    def provided_by(self) -> dict[str, str]:
        """Distribution of every component, by `kind/name`, and of every model alias, by `model/alias`."""
        components = {f"{item.kind}/{item.name}": item.entry.dist for item in self.components}
        return dict(sorted({**components, **{f"model/{alias}": dist for alias, dist in self.aliases.items()}}.items()))
