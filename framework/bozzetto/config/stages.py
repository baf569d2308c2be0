"""Relations between stages, as data. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from bozzetto.errors import ConfigError, did_you_mean
from bozzetto.parameters import differences
from bozzetto.recipe import Component, Stage

CONVERSION = "conversion"
"""Capability of a geometry that can start from another type: `bozzetto.kinds.conversion.StartsFromScene`."""


def check_inheritance(stage: Stage, before: Stage | None) -> None:
    """Check from the manifests whether a stage can be initialised from the previous one.

    Raises:
        ConfigError: there is no previous stage, or a part cannot be initialised from it.
    """
    where = f"stages.{stage.name}.inherit"
    if before is None:
        if stage.inherit:
            raise ConfigError(f"{where}: the first stage has none before it to inherit from.")
        return
    for part in stage.inherit:
        ours, theirs = getattr(stage, part), getattr(before, part)
        if ours.entry == theirs.entry or (part == "geometry" and CONVERSION in ours.entry.spec.provides):
            if ours.entry == theirs.entry and (why := differences(part, stage, before)):
                raise ConfigError(f"{where}: {part} cannot start from stage {before.name!r}: {why}. Make them alike.")
            _check_start(ours, theirs)
            continue
        raise ConfigError(
            f"{where}: {part} {ours.name!r} cannot start from {theirs.name!r} of stage {before.name!r}. "
            "Use the same type in both stages, or leave it out of inherit."
        )


def _check_start(ours: Component, before: Component) -> None:
    """Call the config's `check_start`, if any, to check whether its component can be initialised from `before`."""
    check = getattr(ours.config, "check_start", None)
    if check is not None:
        try:
            check(before)
        except ValueError as error:
            raise ConfigError(f"{ours.where}.{error}.") from error


def stages_from(stages: Sequence[Stage], name: str) -> Sequence[Stage]:
    """Return the stage of this name and those after it.

    Raises:
        ConfigError: there is no such stage.
    """
    names = [stage.name for stage in stages]
    if name not in names:
        raise ConfigError(f"There is no stage {name!r}.{did_you_mean(name, names)} Stages: {', '.join(names)}.")
    return stages[names.index(name) :]
