"""Places where the values of a recipe were given, file and line or command line, and what relative paths mean there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bozzetto.errors import UserError
from bozzetto.models import aliases
from bozzetto.recipe_file import RecipeFile, first_key


@dataclass(frozen=True)
class Origins:
    """Tells of each key of one loaded recipe who said it last: an override, or a file of its chain."""

    file: RecipeFile
    profile: str
    overrides: Sequence[str]
    """The overrides as on the command line: `key=value`."""

    def overridden(self, key: str, stage: str = "") -> bool:
        """Tell if an override gave the value of a dotted key, by itself or as a part of a larger one."""
        keys = (key, f"stages.{stage}.{key}") if stage else (key,)
        names = [item.partition("=")[0] for item in self.overrides]
        return any(key == name or key.startswith((f"{name}.", f"{name}[")) for name in names for key in keys)

    def place_of(self, error: UserError) -> str:
        """Place where the value that an error is about was given: `path:line` or `command line`."""
        key = first_key(error)
        if self.overridden(key, error.stage):
            return "command line"
        if found := self.file.find(key, self.profile, error.stage):
            return f"{found[0]}:{found[1]}"
        made = any(item.startswith((f"{key}.", f"stages.{error.stage}.{key}.")) for item in self.overrides)
        return "command line" if made else str(self.file.path)

    def path(self, text: str, key: str, stage: str = "", or_name: bool = False) -> str:
        """The absolute path that `text` means as the value of `key`.

        `~` is the home folder. A relative path is relative to the file that names it; on the command line, and where no
        file names it, to the working folder.

        Args:
            or_name: `text` may be a name: it is a path if it looks like one or if something lies there. Otherwise it
                is returned as it is.
        """
        folder = Path() if self.overridden(key, stage) else self._folder_of(key, stage)
        path = folder / Path(text).expanduser()
        if or_name and (text in aliases() or not (_looks_like_path(text) or os.path.lexists(path))):
            return text
        return os.path.normpath(path.absolute())

    def _folder_of(self, key: str, stage: str) -> Path:
        """The folder of the file that says `key`, or the mapping it is in where an interpolation says that."""
        while key:
            if found := self.file.find(key, self.profile, stage):
                return found[0].parent
            key = key.rpartition(".")[0]
        return Path()


def _looks_like_path(text: str) -> bool:
    return text.startswith(("~", "./", "../", ".\\", "..\\")) or Path(text).is_absolute()
