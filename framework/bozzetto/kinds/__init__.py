"""Kinds of components: the table of all of them, and a module with the protocol of each. This file imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["KINDS", "SYSTEM_KINDS", "TASK_KINDS", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind of components: contract, constructor, place in a recipe."""

    name: str
    """Kebab-case; the module of its protocol and its plugins' folder have the same name."""
    protocol: str
    """`package.module:Protocol`."""
    place: str
    """Dotted key in a recipe; words in capitals are names that the recipe chooses."""
    meaning: str
    """Meaning of that key, one sentence."""
    arguments: tuple[str, ...] = ()
    """Constructor arguments after the config."""
    is_module: bool = False
    """Whether components are trained or saved, and must be `torch.nn.Module`s."""
    api: int = 1
    """Major version of the contract in this host; incremented when existing components would no longer work."""

    @property
    def key(self) -> str:
        """Last key of `place` that is not a name: `geometry`, `views`, `losses`, `export`."""
        return [word for word in self.place.split(".") if not word.isupper()][-1]

    @property
    def named(self) -> bool:
        """True if a recipe selects components of this kind by the keys of a mapping."""
        return self.place.rpartition(".")[2].isupper()


_ROWS = (
    Kind(
        "geometry",
        "bozzetto.kinds.geometry:Geometry",
        "system.geometry",
        "Shape and features as functions of position.",
        is_module=True,
    ),
    Kind(
        "material",
        "bozzetto.kinds.material:Material",
        "system.material",
        "Colour from features, normals and light.",
        ("feature_count",),
        is_module=True,
    ),
    Kind(
        "background",
        "bozzetto.kinds.background:Background",
        "system.background",
        "Colour of rays that hit nothing.",
        is_module=True,
    ),
    Kind(
        "renderer",
        "bozzetto.kinds.renderer:Renderer",
        "system.renderer",
        "Images from a scene and cameras.",
        ("radius",),
        is_module=True,
    ),
    Kind(
        "prompt-processor",
        "bozzetto.kinds.prompt_processor:PromptProcessor",
        "system.prompt_processor",
        "Conditioning of each view from the prompt.",
        ("prompt", "negative_prompt"),
    ),
    Kind(
        "view-source",
        "bozzetto.kinds.view_source:ViewSource",
        "system.tasks.TASK.views",
        "View source: the cameras of the task.",
    ),
    Kind(
        "guidance",
        "bozzetto.kinds.guidance:Guidance",
        "system.tasks.TASK.guidance",
        "Diffusion guidance of the views; none for a task with losses only.",
        ("model_folder", "device"),
    ),
    Kind(
        "score",
        "bozzetto.kinds.score:Score",
        "system.tasks.TASK.score",
        "Method that makes a gradient of the guidance's predictions; none: the guidance's own.",
    ),
    Kind(
        "loss",
        "bozzetto.kinds.loss:Loss",
        "system.tasks.TASK.losses.NAME",
        "Weights by name: a number or schedule for a loss of the score, of the guidance or a loss component, or a "
        "mapping of `weight` and the component's fields.",
    ),
    Kind(
        "exporter",
        "bozzetto.kinds.exporter:Exporter",
        "export.NAME",
        "Exporters by name; the name is the exporter's `type` unless `type` is given.",
    ),
)

KINDS: Mapping[str, Kind] = MappingProxyType({row.name: row for row in _ROWS})
"""Every kind by its name. Recipes, registry, documentation, schema and checks read this table."""

SYSTEM_KINDS = tuple(kind for kind in _ROWS if kind.place.count(".") == 1 and kind.place.startswith("system."))
"""Kinds with one component in each stage's system."""
TASK_KINDS = tuple(kind for kind in _ROWS if kind.place.startswith("system.tasks."))
"""Kinds with components in each task."""
