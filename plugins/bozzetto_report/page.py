"""Renders the pages from their templates, escaped, and writes them so that they are whole or absent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bozzetto.files import write_text
from bozzetto.registry.discovery import Registry
from bozzetto_report.advice import advice
from bozzetto_report.curves import Chart, Series, chart, means, short
from bozzetto_report.differences import differences, parent_of
from bozzetto_report.facts import STATES, STEERING, RunFacts, StageFacts, measures, number
from bozzetto_report.pictures import SHOWN_PICTURES, Room, evenly
from bozzetto_report.texts import template_text
from bozzetto_report.viewer import ViewerError, hash_of, library

if TYPE_CHECKING:
    from jinja2 import Environment

REPORT = "report.html"
COMPARISON = "comparison.html"
PARTS = {
    "observed": "plugins that watch the training",
    "broadcast": "what was written for viewers",
    STEERING: "pauses, and what viewers have asked for",
}
"""Parts of the seconds whose names say too little."""
SUBJECT_ROOM = 0.75
"""Share of the page that the object may take."""
IN_ALL = 0.5
"""Share of what is left that the video, or the contact sheet, may take."""


def write_report(run: RunFacts, registry: Registry, target: Path | None = None) -> Path:
    """Write the page of a run; None: into its folder. Returns its path."""
    return write_text(target or run.path / REPORT, report_html(run, registry))


def write_comparison(runs: Sequence[RunFacts], target: Path) -> Path:
    """Write the page that shows several runs side by side, and return its path."""
    return write_text(target, comparison_html(runs))


def report_html(run: RunFacts, registry: Registry) -> str:
    """Return the page of a run."""
    room, notes = Room(), [*run.missing]
    shown, viewer = None, None
    if (glb := run.exported("mesh.glb")) is not None:
        try:
            viewer = library()
            shown = room.data(glb, SUBJECT_ROOM)
        except ViewerError as error:
            notes.append(str(error))
    video, sheet = run.exported("turntable.mp4"), run.exported("contact_sheet.png")
    chosen = evenly(run.pictures, SHOWN_PICTURES)
    turntable = room.link(video, "video/mp4", IN_ALL) if video else None
    contact_sheet = room.picture(sheet, IN_ALL) if sheet else None
    pictures = [(one, room.picture(one.path, 1.0 / (len(chosen) - number), 768)) for number, one in enumerate(chosen)]
    parent = parent_of(run, registry)
    codes = [viewer.code, template_text("viewer.js")] if viewer and shown else []
    return _render(
        "run.html",
        codes,
        {
            "run": run,
            "headline": _headline(run),
            "object": shown,
            "library": viewer if codes else None,
            "turntable": turntable,
            "contact_sheet": contact_sheet,
            "pictures": [(one, link) for one, link in pictures if link],
            "hidden_pictures": len(run.pictures) - len(chosen),
            "stages": [(stage, _charts(stage)) for stage in run.stages],
            "parent": parent,
            "changes": differences([parent.values, run.recipe]) if parent else (),
            "recipe_in_the_end": yaml.safe_dump(dict(run.recipe), sort_keys=False) if run.changes else "",
            "explained": [(part, PARTS[part]) for part in PARTS if any(part in one.seconds for one in run.stages)],
            "timings": _timings(run),
            "measures": {name: _told(value) for name, value in measures(run).items()},
            "tips": advice(run, parent),
            "notes": [*notes, *room.refused],
            "manifest": json.dumps(run.manifest, indent=2, default=str),
        },
    )


def comparison_html(runs: Sequence[RunFacts]) -> str:
    """Return the page of several runs."""
    room = Room()
    columns = []
    for index, run in enumerate(runs):
        share = 1.0 / (2 * (len(runs) - index))
        sheet, last = run.exported("contact_sheet.png"), run.pictures[-1:]
        shown = room.picture(sheet, share) if sheet else None
        newest = room.picture(last[0].path, share, 768) if last else None
        columns.append((run, shown, newest))
    return _render(
        "comparison.html",
        [],
        {
            "columns": columns,
            "charts": _common_charts(runs),
            "finals": _finals(runs),
            "changes": differences([run.recipe for run in runs]),
            "notes": [*(f"{run.path}: {line}" for run in runs for line in run.missing), *room.refused],
        },
    )


def _headline(run: RunFacts) -> list[str]:
    """Return the first facts of a run: recipe, profile, seed, steps, time."""
    facts = [f"recipe {run.name}"]
    if run.manifest.get("profile"):
        facts.append(f"profile {run.manifest['profile']}")
    facts.append(f"seed {run.recipe.get('seed', 0)}")
    for stage in run.stages:
        of = f" of {stage.wanted}" if stage.wanted is not None and stage.wanted != stage.steps else ""
        facts.append(f"{stage.name} {stage.steps}{of} steps" if len(run.stages) > 1 else f"{stage.steps}{of} steps")
    facts += [f"{run.seconds:.0f} s"] if run.seconds is not None else []
    paused = sum(stage.paused_s for stage in run.stages)
    return [*facts, *([f"and {paused:.0f} s of pauses"] if paused >= 1.0 else [])]


def _charts(stage: StageFacts) -> list[Chart]:
    """Return a chart per metric of a stage."""
    metrics = stage.metrics
    made = [chart(name, [Series(stage.name, metrics.steps, values)]) for name, values in _ordered(metrics.columns)]
    return [one for one in made if one is not None]


def _ordered(columns: Mapping[str, Sequence[float]]) -> list[tuple[str, Sequence[float]]]:
    """Return the metrics with the opacities first, then the losses, and the norms of gradients last."""
    return sorted(
        columns.items(), key=lambda item: (not item[0].endswith("opacity"), item[0].endswith("gradient_norm"))
    )


def _common_charts(runs: Sequence[RunFacts]) -> list[Chart]:
    """Return a chart per metric that at least two of the runs have logged, in the same stage."""
    found: dict[tuple[str, str], list[Series]] = {}
    for index, run in enumerate(runs, 1):
        for stage in run.stages:
            for name, values in _ordered(stage.metrics.columns):
                series = Series(str(index), stage.metrics.steps, values)
                found.setdefault((stage.name, name), []).append(series)
    several = len({stage for stage, _ in found}) > 1
    made = [
        chart(f"{stage}: {name}" if several else name, series)
        for (stage, name), series in found.items()
        if len(series) > 1
    ]
    return [one for one in made if one is not None]


def _finals(runs: Sequence[RunFacts]) -> list[tuple[str, list[str]]]:
    """Return the last values of each metric, and measures of the exported object, a column per run."""
    rows: dict[str, dict[int, float]] = {}
    for column, run in enumerate(runs):
        for stage in run.stages:
            for name, values in _ordered(stage.metrics.columns):
                label = name if len(run.stages) == 1 else f"{stage.name}: {name}"
                rows.setdefault(label, {})[column] = means(values, 10)[-1] if len(values) >= 10 else values[-1]
        for label, value in measures(run).items():
            if (measured := number(value)) is not None:
                rows.setdefault(label, {})[column] = measured
    return [
        (label, [short(found.get(column, math.nan)) for column in range(len(runs))]) for label, found in rows.items()
    ]


def _timings(run: RunFacts) -> list[tuple[str, float, float]]:
    """Return part, seconds and share of the longest part, for each part of the run."""
    parts = [(_titled(stage, part, run), seconds) for stage in run.stages for part, seconds in stage.seconds.items()]
    for name, entry in run.exports.items():
        if (seconds := number(entry.get("seconds"))) is not None:
            parts.append((f"export {name}", seconds))
    longest = max((seconds for _, seconds in parts), default=0.0) or 1.0
    return [(part, seconds, seconds / longest) for part, seconds in parts]


def _told(value: Any) -> str:
    """Return a fact of the manifest as words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " x ".join(map(_told, value))
    return "–" if value is None else short(value) if isinstance(value, int | float) else str(value)


def _titled(stage: StageFacts, part: str, run: RunFacts) -> str:
    return part if len(run.stages) == 1 else f"{stage.name}: {part}"


def _render(template: str, codes: Iterable[str], values: Mapping[str, Any]) -> str:
    """Return a page, whose policy runs only the given scripts and loads nothing from elsewhere.

    Whatever comes from a run is escaped by the templates; `codes` and the style are this package's own.
    """
    from markupsafe import Markup

    scripts = list(codes)
    return (
        _environment()
        .get_template(template)
        .render(
            scripts=[Markup(code) for code in scripts],
            hashes=" ".join(map(hash_of, scripts)) or "'none'",
            style=Markup(template_text("style.css")),
            states=STATES,
            **values,
        )
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("bozzetto_report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
