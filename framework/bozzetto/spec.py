"""Declaration of a component by a plugin, as data. Imports no torch."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass, field
from typing import Any

_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
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
