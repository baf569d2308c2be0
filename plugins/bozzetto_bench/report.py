"""Formats benchmark results as text and as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bozzetto_bench.cases import OURS
from bozzetto_bench.measure import LEAST_SAMPLES, QUOTED_STEP, Row
from bozzetto_bench.steps import StepTimes
from bozzetto_bench.sweep import Line

UNITS = {"B/s": (1e9, "GB/s"), "1/s": (1e6, "M/s"), "FLOP/s": (1e9, "GFLOP/s")}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table with aligned columns: the first left-aligned, the others right-aligned."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join([first.strip().ljust(widths[0]), *rest])} |"

    rule = [("-" * w) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def limits_table(rates: Mapping[str, float], units: Mapping[str, str]) -> str:
    """Format the measured hardware limits."""
    rows = []
    for name, rate in rates.items():
        scale, unit = UNITS[units[name]]
        rows.append((name, f"{rate / scale:.1f} {unit}"))
    return table(("limit", "measured"), rows)


def kernel_table(rows: Sequence[Row]) -> str:
    """Format one row per case: time, share of the limit, time ratios of the other implementations, thread scaling."""
    others = list(dict.fromkeys(label for row in rows for label in row.timings if label != OURS))
    head = ("kernel", "ms", "of limit", "limit", *others, "1 to 2 threads")
    cells = []
    for row in rows:
        compared = [f"{row.ratio(label):.1f}x" if label in row.timings else "-" for label in others]
        share = "-" if row.share is None else f"{100 * row.share:.0f} %"
        scaling = "-" if row.scaling is None else f"{row.scaling:.2f}x"
        limit = " + ".join(row.limits)
        cells.append((row.name, f"{1000 * row.timings[OURS].median:.2f}", share, limit, *compared, scaling))
    return table(head, cells)


def step_table(whole: StepTimes, bare: StepTimes) -> str:
    """Format the parts of a step with their shares, and the step without the prior."""
    total = sum(whole.parts.values())
    rows = [(part, f"{1000 * seconds:.1f}", f"{100 * seconds / total:.0f} %") for part, seconds in whole.parts.items()]
    rows += [
        ("whole step", f"{1000 * whole.whole:.1f}", "100 %"),
        ("the 3D side of it", f"{1000 * whole.whole * whole.scene_share:.1f}", f"{100 * whole.scene_share:.0f} %"),
        ("step without the prior", f"{1000 * bare.whole:.1f}", f"{100 * bare.whole / whole.whole:.0f} %"),
    ]
    note = f"{whole.rays} rays, {whole.samples:.0f} samples, {whole.samples_per_hit:.0f} on a ray that has any"
    return f"{table(('part of a step', 'ms', 'share'), rows)}\n\n{note}"


def shaded_line(what: str, times: StepTimes) -> str:
    """Format a shaded step for comparison with stable-dreamfusion."""
    enough = "" if times.samples_per_hit >= LEAST_SAMPLES else f" (fewer than the {LEAST_SAMPLES} meant)"
    return (
        f"A shaded step of {times.rays} rays without the prior, {what}: {times.whole:.3f} s, "
        f"{times.samples:.0f} samples, {times.samples_per_hit:.0f} on a ray that hits{enough}. stable-dreamfusion's "
        f"torch path on one core, quoted and not measured here: {QUOTED_STEP} s, {QUOTED_STEP / times.whole:.0f} "
        "times as long."
    )


def sweep_line(line: Line) -> str:
    """Format the fitted cost per ray and per sample."""
    return (
        f"A step without the prior takes {1e3 * line.fixed:.1f} ms + {1e6 * line.per_ray:.3f} us per ray + "
        f"{1e6 * line.per_sample:.3f} us per sample (R^2 {line.explained:.3f})."
    )


def values(row: Row) -> dict[str, Any]:
    """Return a row as JSON values."""
    return {
        "kernel": row.kernel,
        "name": row.name,
        "ms": {label: 1000 * timing.median for label, timing in row.timings.items()},
        "repeats": {label: timing.repeats for label, timing in row.timings.items()},
        "limits": list(row.limits),
        "share_of_limit": row.share,
        "scaling_1_to_2_threads": row.scaling,
    }


def step_values(times: StepTimes) -> dict[str, Any]:
    """Return a step as JSON values."""
    return {
        "seconds": times.whole,
        "parts": dict(times.parts),
        "scene_share": times.scene_share,
        "rays": times.rays,
        "samples": times.samples,
        "samples_per_hit_ray": times.samples_per_hit,
    }
