"""Origins of recipe values (file and line, or command line), and resolution of relative paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bozzetto.config.recipe_file import RecipeFile, first_key
from bozzetto.errors import UserError


@dataclass(frozen=True)
class Origins:
    """Locates the last source of each key of a loaded recipe: an override, or a file of its chain."""

    file: RecipeFile
    profile: str
    overrides: Sequence[str]
    """Command-line overrides, `key=value`."""

    def overridden(self, key: str, stage: str = "") -> bool:
        """Return whether an override set the value of a dotted key, directly or as part of a larger one."""
        keys = (key, f"stages.{stage}.{key}") if stage else (key,)
        names = [item.partition("=")[0] for item in self.overrides]
        return any(key == name or key.startswith((f"{name}.", f"{name}[")) for name in names for key in keys)

    def place_of(self, error: UserError) -> str:
        """Return the place of the value that an error is about: `path:line` or `command line`."""
        key = first_key(error)
        if self.overridden(key, error.stage):
            return "command line"
        if found := self.file.find(key, self.profile, error.stage):
            return f"{found[0]}:{found[1]}"
        made = any(item.startswith((f"{key}.", f"stages.{error.stage}.{key}.")) for item in self.overrides)
        return "command line" if made else str(self.file.path)

    def path(self, text: str, key: str, stage: str = "", or_name: bool = False) -> str:
        """Return the absolute path for `text` as the value of `key`.

        `~` is the home folder. A relative path is relative to the file that gives it; on the command line, and where no
        file gives it, to the working folder.

        Args:
            or_name: whether `text` may be the name of a hub repository: it is a path only if it looks like one or
                exists. A name is returned unchanged.
        """
        folder = Path() if self.overridden(key, stage) else self._folder_of(key, stage)
        path = folder / Path(text).expanduser()
        if or_name and not (_looks_like_path(text) or os.path.lexists(path)):
            return text
        return os.path.normpath(path.absolute())

    def _folder_of(self, key: str, stage: str) -> Path:
        """Return the folder of the file that sets `key`, or a parent of `key` that is set by an interpolation."""
        while key:
            if found := self.file.find(key, self.profile, stage):
                return found[0].parent
            key = key.rpartition(".")[0]
        return Path()


def _looks_like_path(text: str) -> bool:
    return text.startswith(("~", "./", "../", ".\\", "..\\")) or Path(text).is_absolute()
