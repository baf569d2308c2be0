"""Combines several threestudio recipes, which are run one after the other there, into the stages of one recipe."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from bozzetto.config.binding import REQUIRED
from bozzetto.config.file_names import LONGEST
from bozzetto.files import slug
from bozzetto_convert.draft import Draft, Line
from bozzetto_convert.rules import Note

IN_STAGE = ("system.", "trainer.")
SHAPES = (
    "type", "levels", "features_per_level", "log2_table_size", "base_resolution", "finest_resolution", "frequencies",
    "hidden_width", "hidden_layers", "width", "depth", "feature_count", "normal",
)  # fmt: skip
"""Fields that must be equal for parameters to be copied."""
FROM_BEFORE = "system.geometry_convert_from"
STARTS = (FROM_BEFORE, "system.weights")
"""Keys that name what a recipe starts from."""


def as_stages(drafts: Sequence[Draft]) -> Draft:
    """Combine drafts: prompt and the like from the first that has them, exports from the last.

    A stage is named after its recipe; duplicates are numbered.
    """
    if len(drafts) == 1:
        return drafts[0]
    names = unique([slug(str(draft.lines["name"].value if "name" in draft.lines else draft.title)) for draft in drafts])
    combined = Draft(", then ".join(draft.title for draft in drafts), drafts[0].system)
    for index, (name, draft) in enumerate(zip(names, drafts, strict=True)):
        for path, line in draft.lines.items():
            before, within = _profile(path)
            if within.startswith(IN_STAGE):
                combined.lines[f"{before}stages.{name}.{within}"] = line
            elif within.startswith("export.") and index < len(drafts) - 1:
                continue
            elif path not in combined.lines or combined.lines[path].value == REQUIRED:
                combined.lines[path] = line
        if index and (why := _cannot_start(draft, drafts[index - 1])):
            combined.notes.append(Note("lost", f"{name}: {FROM_BEFORE}", why))
        elif index:
            combined.lines[f"stages.{name}.inherit"] = Line(["geometry"], FROM_BEFORE)
        combined.stand_ins += [f"{name}: {text}" for text in draft.stand_ins]
        combined.notes += [_in_recipe(note, name) for note in draft.notes if not (index and note.name in STARTS)]
    return combined


def _cannot_start(draft: Draft, before: Draft) -> str:
    """Return why a stage's geometry cannot be initialised from that of the previous stage; empty if it can."""
    if draft.converts:
        return ""
    for field in SHAPES:
        ours, theirs = (item.lines.get(f"system.geometry.{field}", Line(None, "")).value for item in (draft, before))
        if ours != theirs:
            return f"it starts anew: its geometry's {field} is {ours!r}, that of the stage before {theirs!r}"
    return ""


def unique(names: Sequence[str]) -> list[str]:
    """Make names unique by appending `-2`, `-3` to duplicates."""
    made: list[str] = []
    for name in names:
        tries = (name if count == 1 else _numbered(name, count) for count in itertools.count(1))
        made.append(next(item for item in tries if item not in made))
    return made


def _numbered(name: str, count: int) -> str:
    end = f"-{count}"
    return name[: LONGEST - len(end)].rstrip("-") + end


def _profile(path: str) -> tuple[str, str]:
    """Split a path into `profiles.cpu.` and the rest; the first part is empty outside of profiles."""
    top, name, *rest = path.split(".", 2) if path.startswith("profiles.") else ("", "", path)
    return (f"{top}.{name}." if top else "", rest[0])


def _in_recipe(note: Note, name: str) -> Note:
    return replace(note, key=f"{name}: {note.key}")
