"""Texts of the page. No torch, no viser."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bozzetto.errors import RunFolderError
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


def last_words(source: Source) -> tuple[str, tuple[str, ...]]:
    """Return what has become of a run, and what can be done now, one line each, for a page that closes."""
    if source.deleted:
        return "This run has been deleted.", ()
    path = source.folder.path
    try:
        end = source.folder.manifest.get("end")
    except RunFolderError:
        end = None
    found = end if isinstance(end, Mapping) else {}
    reason = str(found.get("reason") or "").partition(": ")[2]
    again, on = f"Look at it again: bozzetto view {path}", f"Go on: bozzetto run --resume {path}"
    if found.get("state") == "finished":
        return "The run has finished.", (again,)
    if found.get("state") == "stopped":
        return f"The run was {reason or 'stopped'}.", (on, again)
    if found.get("state") == "failed":
        return f"The run has failed: {reason}" if reason else "The run has failed.", (on, again)
    if source.training:
        return "This page was closed, and the run goes on.", (again,)
    return "The run was broken off.", (on, again)


def duration(seconds: float) -> str:
    """Return `45 s`, `12 min` or `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
