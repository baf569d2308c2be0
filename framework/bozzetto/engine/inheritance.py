"""Initialises a stage from the previous one: by copying parameters of parts of the same type, else by conversion."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from bozzetto.engine.adaptation import take_rows
from bozzetto.engine.build import Report
from bozzetto.engine.system import System
from bozzetto.errors import ConfigError
from bozzetto.kinds.conversion import StartsFromScene
from bozzetto.kinds.geometry import Adaptive
from bozzetto.kinds.scene import Scene
from bozzetto.recipe import Stage


def inherit(system: System, stage: Stage, before: Stage, scene: Scene, report: Report) -> None:
    """Initialise the parts in `stage.inherit` from the trained scene of the previous stage.

    Raises:
        ConfigError: a part's parameters differ, or its geometry cannot be converted.
    """
    for part in stage.inherit:
        module, source = getattr(system, part), getattr(scene, part)
        if getattr(stage, part).entry == getattr(before, part).entry:
            _copy(module, source.state_dict(), part, stage.name)
        elif isinstance(module, StartsFromScene):
            module.start_from(scene, report)
        else:
            raise ConfigError(
                f"stages.{stage.name}.inherit: geometry {stage.geometry.name!r} provides 'conversion' and has no "
                "method start_from. Report this to its author."
            )


def _copy(module: nn.Module, values: Mapping[str, Tensor], part: str, stage: str) -> None:
    if isinstance(module, Adaptive):
        take_rows(module, values)
    try:
        module.load_state_dict(values)
    except RuntimeError as error:
        raise ConfigError(
            f"stages.{stage}.inherit: {part} cannot start from the stage before, its parameters differ: "
            f"{' '.join(str(error).split())}"
        ) from error
