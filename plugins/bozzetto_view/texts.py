"""Texts of the page. No torch, no viser."""

from __future__ import annotations

import re

from bozzetto.live import State
from bozzetto_view.source import Source

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")


def escaped(text: str) -> str:
    """Return a text of a user as Markdown that shows it as it is: neither markup nor code."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def status_text(source: Source, state: State | None, training: bool, fault: str = "") -> str:
    """Return stage, step and time left, or what has become of the run."""
    recipe = source.recipe
    prompt = escaped(source.changed_recipe().subject)
    if training and (state is None or state.ended):
        lines = ["preparing a stage, or exporting"]
    elif training and state is not None:
        place = [stage.name for stage in recipe.stages].index(state.stage) + 1
        several = f" ({place} of {len(recipe.stages)})" if len(recipe.stages) > 1 else ""
        how = "**paused**" if state.paused else f"{state.steps_per_s:.2f} steps/s" if state.steps_per_s else "training"
        left = f", {duration(state.seconds_left)} left" if state.seconds_left is not None else ""
        lines = [f"stage {escaped(state.stage)}{several}, step **{state.step}** of {state.steps}, {how}{left}"]
    else:
        lines = []
        for stage in recipe.stages:
            steps = source.folder.steps_of(stage.name)
            done = source.folder.finished(stage.name, stage.trainer.steps)
            lines.append(f"stage {escaped(stage.name)}: {f'finished, {steps} steps' if done else 'not finished'}")
        lines.append("not training now")
    if fault:
        lines.append(f"no new picture: {escaped(fault)}")
    return f"**{prompt}**\n\n" + "\n\n".join(lines)


def duration(seconds: float) -> str:
    """Return `45 s`, `12 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
