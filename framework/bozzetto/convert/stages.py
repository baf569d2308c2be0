"""Several recipes of theirs, run one after the other there, as the stages of one recipe here."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from bozzetto.config import REQUIRED
from bozzetto.convert.draft import Draft, Line
from bozzetto.convert.rules import Note
from bozzetto.file_names import LONGEST
from bozzetto.files import slug

IN_STAGE = ("system.", "trainer.")
SHAPES = (
    "type", "levels", "features_per_level", "log2_table_size", "base_resolution", "finest_resolution", "frequencies",
    "hidden_width", "hidden_layers", "width", "depth", "feature_count", "normal",
)  # fmt: skip
"""Fields that must be equal where parameters are copied."""
FROM_BEFORE = "system.geometry_convert_from"


def as_stages(drafts: Sequence[Draft]) -> Draft:
    """One draft: prompt and the like from the first that has them, exports from the last.

    A stage is called as its recipe is; where that is taken, with a number behind it.
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
        combined.notes += [_in_recipe(note, name) for note in draft.notes if not (index and note.key == FROM_BEFORE)]
    return combined


def _cannot_start(draft: Draft, before: Draft) -> str:
    """The reason why a stage's geometry cannot start from that of the stage before; empty if it can."""
    if draft.converts:
        return ""
    for field in SHAPES:
        ours, theirs = (item.lines.get(f"system.geometry.{field}", Line(None, "")).value for item in (draft, before))
        if ours != theirs:
            return f"it starts anew: its geometry's {field} is {ours!r}, that of the stage before {theirs!r}"
    return ""


def unique(names: Sequence[str]) -> list[str]:
    """The same names, with `-2`, `-3` behind those that were there before."""
    made: list[str] = []
    for name in names:
        tries = (name if count == 1 else _numbered(name, count) for count in itertools.count(1))
        made.append(next(item for item in tries if item not in made))
    return made


def _numbered(name: str, count: int) -> str:
    end = f"-{count}"
    return name[: LONGEST - len(end)].rstrip("-") + end


def _profile(path: str) -> tuple[str, str]:
    """`profiles.cpu.` and the path within it; nothing and the path itself outside of profiles."""
    top, name, *rest = path.split(".", 2) if path.startswith("profiles.") else ("", "", path)
    return (f"{top}.{name}." if top else "", rest[0])


def _in_recipe(note: Note, name: str) -> Note:
    return replace(note, key=f"{name}: {note.key}")
