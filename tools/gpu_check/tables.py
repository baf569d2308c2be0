"""Results of the check as Markdown tables, and what failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Row = Mapping[str, Any]
Cell = Callable[[Row], str]

GIB = float(2**30)


def _number(key: str, form: str, factor: float = 1.0) -> Cell:
    """Return a cell with a number; empty if it was not measured."""
    return lambda row: "" if row.get(key) is None else format(factor * row[key], form)


def _word(key: str) -> Cell:
    return lambda row: str(row[key])


def _gib(title: str, key: str) -> tuple[str, Cell]:
    return f"{title} GiB", _number(key, ".2f", 1.0 / GIB)


PEAK = _gib("peak", "peak_bytes")
SECONDS = ("s/step", _number("s_per_step", ".4f"))
NETWORKS = _gib("networks", "network_bytes")
AT_STEP = ("at step", _word("at_step"))
FINITE = ("finite", lambda row: "yes" if row["finite"] else "no")
TABLES: Mapping[str, tuple[tuple[str, ...], tuple[tuple[str, Cell], ...]]] = {
    "recipes": (
        ("recipe", "profile", "stage"),
        (SECONDS, PEAK, ("syncs", _number("syncs", "d")), ("resume difference", _number("resume_difference", ".3g"))),
    ),
    "priors": (
        ("prior", "recipe"),
        (SECONDS, PEAK, NETWORKS, AT_STEP, FINITE),
    ),
    "scores": (
        ("score", "recipe"),
        (SECONDS, ("times sds", _number("times_sds", ".2f")), PEAK, AT_STEP, FINITE),
    ),
    "memory": (
        ("prior", "recipe"),
        (
            ("views", _word("views")), ("pixels", _word("image_size")), NETWORKS, _gib("encoder", "kept_bytes"),
            _gib("denoiser", "predicting_bytes"), _gib("scene", "scene_bytes"),
            _gib("worked out, with parameters and CUDA's own,", "total_bytes"),
        ),
    ),
    "full": (("recipe", "profile", "model"), (SECONDS, ("gradient norm", _number("gradient_norm", ".3g")), FINITE)),
    "scenes": (
        ("recipe", "profile"),
        (
            AT_STEP, ("samples", _number("samples", ",d")), _gib("scene counted", "scene_bytes"),
            _gib("scene worked out", "worked_out_bytes"),
        ),
    ),
    "kernels": (
        ("kernel",),
        (
            ("torch ms", _number("torch_s", ".3f", 1e3)), ("chosen ms", _number("chosen_s", ".3f", 1e3)),
            ("of bandwidth", _number("bandwidth_share", ".0%")),
        ),
    ),
}  # fmt: skip
"""By part: the columns that name a row, and those of what was measured."""


def table(result: Mapping[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [f"# {result['machine'].get('gpu', 'CPU (dry)')}, torch {result['machine']['torch']}", ""]
    for part, (names, columns) in TABLES.items():
        if result[part]:
            lines += [
                _line([*names, *(title for title, _ in columns)]),
                "|" + "---|" * len(names) + "--:|" * len(columns),
            ]
            lines += [_line(_cells(row, names, columns)) for row in result[part]] + [""]
    lines += [f"failed: {text}" for text in failures(result)]
    lines += [f"skipped: {name}" for name in result["skipped"]]
    return "\n".join(lines) + "\n"


def failures(result: Mapping[str, Any]) -> list[str]:
    """Return what failed, in words."""
    rows = [row for part in TABLES for row in result[part]]
    found = [f"{row.get('recipe', row.get('kernel'))}: {row['error']}" for row in rows if "error" in row]
    if result.get("tests", {}).get("code", 0) not in (0, 5):  # 5: every test needs a package that is missing
        found.append(f"tests: {result['tests']['last_line']}")
    if result.get("two_gpus", {}).get("code", 0):
        found.append(f"two GPUs: {result['two_gpus']['last_lines']}")
    return found


def _cells(row: Row, names: tuple[str, ...], columns: tuple[tuple[str, Cell], ...]) -> list[str]:
    named = [str(row[name]) for name in names]
    if "error" in row:
        return [*named, row["error"].replace("|", "/"), *[""] * (len(columns) - 1)]
    return [*named, *(cell(row) for _, cell in columns)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
