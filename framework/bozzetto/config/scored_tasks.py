"""Checks of a task with a score, where the settings that the recipe gives are known. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from bozzetto.config.sections import section
from bozzetto.errors import ConfigError
from bozzetto.recipe import Component, LossTerm


def check_score(
    score: Component | None, guidance: Component | None, values: object, terms: Iterable[LossTerm], where: str
) -> None:
    """Raise `ConfigError` if a score has no prior, no weight, or a guidance with settings that it would ignore.

    Args:
        values: the recipe's values of the guidance: a name, or a mapping.
        where: key of the task.
    """
    if score is None:
        return
    if guidance is None:
        raise ConfigError(
            f"{where}.score: 'guidance' is missing, and a score needs its predictions. Give the task a guidance, or "
            "drop score."
        )
    replaced = getattr(guidance.config, "replaced_by_score", None)
    if replaced is None:
        raise ConfigError(
            f"{where}.score: the guidance {guidance.name!r} has a method of its own and gives no score its "
            f"predictions. Choose another guidance, e.g. stable-diffusion, or drop score."
        )
    given = section({"guidance": values}, "guidance", "a guidance", f"{where}.") if not isinstance(values, str) else {}
    for name in given:
        if name in replaced:
            raise ConfigError(
                f"{where}.guidance.{name}: has no effect beside score, which decides it. Remove it, with null where "
                f"another file sets it, and set {where}.score instead."
            )
    if not any(term.component is None for term in terms):
        made = ", ".join(sorted(score.entry.spec.provides))
        raise ConfigError(f"{where}.losses: the score {score.name!r} makes {made}, which has no weight here. Add it.")
