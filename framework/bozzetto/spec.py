"""Declarations of components and models by a plugin, as data. Imports no torch."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "REPOSITORY",
    "CommandSpec",
    "ComponentSpec",
    "Entry",
    "ModelEntry",
    "ModelSpec",
    "installed",
    "is_kebab",
    "load",
]

_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_ALIAS = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """Declaration of a component: name, location, required and provided capabilities.

    Raises:
        ValueError: a field has the wrong type or form; the message starts with its name.
    """

    kind: str
    """Name in `bozzetto.kinds.KINDS`."""
    name: str
    """Kebab-case, unique within its kind; module and class have the same name."""
    target: str
    """`package.module:Class`, imported when the component is built."""
    config: str
    """`package.module:Config`, a frozen dataclass in a module that imports no torch."""
    summary: str
    """One line for `bozzetto plugins list`."""
    api: int = 1
    """Major version of the kind's contract that the component implements."""
    requires: tuple[str, ...] = ()
    """Import names of required packages; looked up, never imported, when listed."""
    provides: frozenset[str] = frozenset()
    """Provided capabilities, e.g. `{"density", "features", "normal"}`; for guidance, its loss names."""
    needs: frozenset[str] = frozenset()
    """Capabilities required from other components."""

    def __post_init__(self) -> None:
        for name in ("kind", "name"):
            if not isinstance(getattr(self, name), str) or not is_kebab(getattr(self, name)):
                raise ValueError(f"{name}: must be text in kebab-case such as 'hash-grid', got {getattr(self, name)!r}")
        for name in ("target", "config"):
            if not isinstance(getattr(self, name), str) or not _PATH.fullmatch(getattr(self, name)):
                raise ValueError(f"{name}: must be 'package.module:Name', got {getattr(self, name)!r}")
        if not isinstance(self.summary, str) or "\n" in self.summary:
            raise ValueError(f"summary: must be one line of text, got {self.summary!r}")
        if not isinstance(self.api, int) or isinstance(self.api, bool):
            raise ValueError(f"api: must be a whole number, got {self.api!r}")
        for name, kind in (("requires", tuple), ("provides", frozenset), ("needs", frozenset)):
            value = getattr(self, name)
            if not isinstance(value, kind) or not all(isinstance(item, str) for item in value):
                raise ValueError(f"{name}: must be a {kind.__name__} of texts, got {value!r}")

    def missing(self) -> list[str]:
        """Return the packages in `requires` that are not installed."""
        return [name for name in self.requires if not installed(name)]


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """Declaration of a command, in a module that imports no torch: `bozzetto --help` imports it.

    Raises:
        ValueError: a field has the wrong type or form; the message starts with its name.
    """

    module: str
    """`package.module` with the functions of `Command`, imported when the command is used."""
    summary: str
    """One line for `bozzetto --help`, e.g. `list the installed recipes`."""
    beside_run: bool = False
    """True: the command takes a run folder as its first argument and can be started beside a run that trains, by the
    option `--NAME` of `bozzetto run`."""

    def __post_init__(self) -> None:
        if not isinstance(self.module, str) or not _DOTTED.fullmatch(self.module):
            raise ValueError(f"module: must be 'package.module', got {self.module!r}")
        if not isinstance(self.summary, str) or not self.summary.strip() or not self.summary.isprintable():
            raise ValueError(f"summary: must be one line of text, got {self.summary!r}")


@dataclass(frozen=True)
class Entry:
    """Declared component and the distribution that ships it."""

    dist: str
    version: str
    spec: ComponentSpec
    slow: tuple[str, ...] = field(default=(), compare=False)
    """Heavy packages imported by listing its plugin."""

    @property
    def title(self) -> str:
        """Title such as `geometry 'hash-grid' from bozzetto 0.1.0`."""
        return f"{self.spec.kind} {self.spec.name!r} from {self.dist} {self.version}"


def is_kebab(text: str) -> bool:
    """Return whether a text is in kebab-case: `hash-grid`."""
    return _KEBAB.fullmatch(text) is not None


REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
"""Form of a hub repository, `owner/name` or `owner/name@revision`."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Declaration of a model: an alias for weights in diffusers' folder format, shipped or to be downloaded.

    Raises:
        ValueError: a field has the wrong type or form; the message starts with its name.
    """

    alias: str
    """Lower-case letters, digits, `-` and `.`, e.g. `sd-2.1-base`; a recipe writes it or `distribution/alias`."""
    folder: Path | None = None
    """Absolute folder that the distribution ships; None: the weights are in `repositories`."""
    repositories: tuple[str, ...] = ()
    """Hub repositories, `owner/name` or `owner/name@revision`, in the order they are tried."""
    withdrawn: tuple[str, ...] = ()
    """Repositories that had the same weights and are gone; their local copies are used, and their names explained."""
    size_gb: float | None = None
    """Approximate size of a download, in gigabytes, or of the folder that `converter` makes; None: unknown."""
    kept_gb: float | None = None
    """Gigabytes of it that stay in memory once texts are encoded; None: all, or unknown."""
    licence: str = "not recorded, ask its owner"
    memory: str = "unknown"
    """Memory needed, e.g. `about 6 GB on a GPU in half precision`."""
    note: str = ""
    """One line for `bozzetto plugins list`."""
    converter: str = ""
    """Command that makes a folder of the one file of another layout in `repositories`; empty: they hold a folder."""

    def __post_init__(self) -> None:
        if not isinstance(self.alias, str) or not _ALIAS.fullmatch(self.alias):
            raise ValueError(f"alias: must be lower-case text such as 'sd-2.1-base', got {self.alias!r}")
        if self.folder is not None and not (isinstance(self.folder, Path) and self.folder.is_absolute()):
            raise ValueError(f"folder: must be an absolute pathlib.Path, got {self.folder!r}")
        for name in ("repositories", "withdrawn"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(v, str) and REPOSITORY.fullmatch(v) for v in value):
                raise ValueError(f"{name}: must be a tuple of 'owner/name' or 'owner/name@revision', got {value!r}")
        if (self.folder is None) != bool(self.repositories) or (self.folder is not None and self.withdrawn):
            raise ValueError("folder: must be given, or else repositories, and not both")
        for name, most in (("size_gb", 1e5), ("kept_gb", self.size_gb or 1e5)):
            size = getattr(self, name)
            wrong = isinstance(size, bool) or not isinstance(size, (int, float)) or not 0 < size <= most
            if size is not None and wrong:
                raise ValueError(f"{name}: must be gigabytes in (0, {most:g}], got {size!r}")
        if self.converter and self.folder is not None:
            raise ValueError("converter: must be empty for a folder that is shipped, which is not converted")
        for name in ("licence", "memory", "note", "converter"):
            if not isinstance(getattr(self, name), str) or "\n" in getattr(self, name):
                raise ValueError(f"{name}: must be one line of text, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class ModelEntry:
    """Declared model and the distribution that declares it."""

    dist: str
    version: str
    spec: ModelSpec

    @property
    def title(self) -> str:
        """Title such as `model 'sd-1.5' from bozzetto 0.1.0`."""
        return f"model {self.spec.alias!r} from {self.dist} {self.version}"


def installed(name: str) -> bool:
    """Return whether the top-level package of an import name can be found; imports nothing."""
    top = name.partition(".")[0]
    try:
        return top in sys.modules or importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def load(path: str) -> Any:
    """Import `package.module:attribute`."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
