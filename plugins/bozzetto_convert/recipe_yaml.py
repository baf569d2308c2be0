"""Writes a draft as YAML with comments: the source of each line, and notes on what could not be converted."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from bozzetto_convert.draft import Draft, Line

ORDER = (
    "name", "summary", "stand_ins", "provided_by", "prompt", "negative_prompt", "image", "seed", "output",
    "system", "trainer", "stages", "export", "profiles",
)  # fmt: skip
SYSTEM = ("geometry", "material", "background", "renderer", "prompt_processor", "tasks", "optimizer")
TASK = ("views", "guidance", "score", "losses")
WIDTH = 116

HEADINGS = {
    "lost": "Not translated:",
    "changed": "Translated with a difference:",
    "idle": "Not needed here:",
}


def to_yaml(draft: Draft) -> str:
    """Return the recipe as YAML text."""
    title = f"Converted from {draft.title}. Behind each line: the key it comes from."
    lines = [*textwrap.wrap(title, WIDTH, initial_indent="# ", subsequent_indent="# "), *_report(draft), ""]
    told = draft.notices()
    stand_ins = {"stand_ins": Line(told, "said by every check and run")} if told else {}
    lines += _block(_tree({**draft.lines, **stand_ins}), 0)
    return "\n".join(lines) + "\n"


def summary(draft: Draft) -> list[str]:
    """Return the notes as lines for a terminal."""
    lines = []
    for severity, heading in HEADINGS.items():
        notes = draft.of(severity)
        if notes and severity == "idle":
            lines.append(f"{heading} {', '.join(note.name for note in notes)}")
        elif notes:
            lines += [heading, *(f"  {note}" for note in notes)]
    return lines


def _report(draft: Draft) -> Iterable[str]:
    for severity, heading in HEADINGS.items():
        notes = draft.of(severity)
        if not notes:
            continue
        yield "#"
        yield f"# {heading}"
        for note in notes:
            yield from textwrap.wrap(
                str(note), WIDTH, initial_indent="#   ", subsequent_indent="#     ", break_long_words=False,
                break_on_hyphens=False,
            )  # fmt: skip


def _tree(lines: Mapping[str, Line]) -> dict[str, Any]:
    """Nest the lines in the conventional order of a recipe."""
    tree: dict[str, Any] = {}
    stages = list(dict.fromkeys(path.split(".")[1] for path in lines if path.startswith("stages.")))
    for path, line in sorted(lines.items(), key=lambda item: _rank(item[0], stages)):
        below = tree
        path, _, literal = path.partition("/")
        *parents, name = path.split(".") + ([literal] if literal else [])
        for parent in parents:
            below = below.setdefault(parent, {})
        below[name] = line
    return tree


def _rank(path: str, stages: list[str]) -> tuple[int, ...]:
    """Return the sort key of a path; equal ranks, such as those within profiles, keep their order."""
    top, *rest = path.partition("/")[0].split(".")
    if top == "profiles":
        return (ORDER.index(top),)
    stage = (stages.index(rest[0]), int(rest[1] != "inherit")) if top == "stages" else ()
    top, rest = (rest[1], rest[2:]) if stage else (top, rest)
    ranks = [ORDER.index("stages" if stage else top), *stage, ORDER.index(top) if top in ORDER else 0]
    if top == "system":
        ranks.append(SYSTEM.index(rest[0]))
    if top == "system" and rest[0] == "tasks":
        ranks.append(TASK.index(rest[2]))
    return (*ranks, 0 if rest and rest[-1] == "type" else 1)


def _block(tree: Mapping[str, Any], depth: int) -> list[str]:
    lines = []
    for key, value in tree.items():
        indent = "  " * depth
        if isinstance(value, Line):
            text = f"{indent}{_flow(key)}: {_flow(value.value)}"
            lines.append(f"{text}  # {value.comment}" if value.comment else text)
        else:
            lines += ([""] if depth == 0 else []) + [f"{indent}{_flow(key)}:", *_block(value, depth + 1)]
    return lines


def _flow(value: Any) -> str:
    """Format a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
