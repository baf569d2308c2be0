"""How a stage starts from the one before: parameters where the parts are of one type, conversion where they are not."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from bozzetto.build import Report
from bozzetto.errors import ConfigError
from bozzetto.kinds.conversion import StartsFromScene
from bozzetto.kinds.exporter import Scene
from bozzetto.recipe import Stage
from bozzetto.system import System


def inherit(system: System, stage: Stage, before: Stage, scene: Scene, report: Report) -> None:
    """Start the parts that `stage.inherit` names from the trained scene of the stage before.

    Raises:
        ConfigError: a part has other parameters there, or its geometry cannot be converted.
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
                "method start_from. Tell its author."
            )


def _copy(module: nn.Module, values: Mapping[str, Tensor], part: str, stage: str) -> None:
    try:
        module.load_state_dict(values)
    except RuntimeError as error:
        raise ConfigError(
            f"stages.{stage}.inherit: {part} cannot start from the stage before, its parameters differ: "
            f"{' '.join(str(error).split())}"
        ) from error
