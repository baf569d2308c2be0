"""Several recipes of theirs, run one after the other there, as the stages of one recipe here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bozzetto.config import REQUIRED
from bozzetto.convert.rules import Note
from bozzetto.convert.translate import Draft, Line
from bozzetto.errors import ConfigError
from bozzetto.files import slug

IN_STAGE = ("system.", "trainer.")
FROM_BEFORE = "system.geometry_convert_from"


def as_stages(drafts: Sequence[Draft]) -> Draft:
    """One draft: prompt and the like from the first that has them, exports from the last.

    Raises:
        ConfigError: two recipes have the same name.
    """
    if len(drafts) == 1:
        return drafts[0]
    names = [slug(str(draft.lines["name"].value if "name" in draft.lines else draft.title)) for draft in drafts]
    if len(set(names)) < len(names):
        raise ConfigError(f"Two recipes have the same name: {', '.join(names)}. Give each its own, e.g. name=coarse.")
    combined = Draft(", then ".join(draft.title for draft in drafts), drafts[0].system)
    for index, (name, draft) in enumerate(zip(names, drafts, strict=True)):
        for path, line in draft.lines.items():
            if path.startswith(IN_STAGE):
                combined.lines[f"stages.{name}.{path}"] = line
            elif path.startswith("export.") and index < len(drafts) - 1:
                continue
            elif path not in combined.lines or combined.lines[path].value == REQUIRED:
                combined.lines[path] = line
        if index:
            combined.lines[f"stages.{name}.inherit"] = Line(["geometry"], FROM_BEFORE)
        combined.notes += [_in_recipe(note, name) for note in draft.notes if not (index and note.key == FROM_BEFORE)]
    return combined


def _in_recipe(note: Note, name: str) -> Note:
    return replace(note, key=f"{name}: {note.key}")
