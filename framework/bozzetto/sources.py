"""Where plugins come from, and what their source files tell without being run. Imports no torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bozzetto.spec import load

GROUP = "bozzetto.plugins"


@dataclass(frozen=True)
class Source:
    """Where a plugin comes from: an entry point of a distribution, or a module named in the environment."""

    dist: str
    version: str
    name: str
    module: str

    @property
    def key(self) -> str:
        return f"{self.dist}:{self.name}"


def installed_sources(environment: Mapping[str, str]) -> list[Source]:
    """The plugins of this Python and those in `BOZZETTO_PLUGINS` (`module` or `name=module`, comma-separated)."""
    found = {_source(ep) for ep in importlib.metadata.entry_points(group=GROUP)}
    for item in filter(None, environment.get("BOZZETTO_PLUGINS", "").split(",")):
        name, _, module = item.strip().rpartition("=")
        found.add(Source("local", "0", name or module, module))
    blocked = {canonical(name) for name in environment.get("BOZZETTO_DISABLE", "").split(",")}
    return sorted((source for source in found if source.dist not in blocked), key=lambda s: (s.dist, s.name))


def canonical(name: str) -> str:
    """A distribution's name in the one spelling that all of its spellings share: `bozzetto-blocky`."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _source(entry_point: importlib.metadata.EntryPoint) -> Source:
    """A distribution whose metadata is damaged is `unknown 0`, not the end of the list."""
    try:
        name, version = entry_point.dist.name, entry_point.dist.version  # type: ignore[union-attr]
        return Source(canonical(name), version, entry_point.name, entry_point.value)
    except Exception:  # whatever reading damaged metadata raises in this version of Python
        return Source("unknown", "0", entry_point.name, entry_point.value)


def import_source(source: Source) -> Any:
    """Import a plugin's manifest: `package.module` or `package.module:attribute`."""
    if ":" in source.module:
        return load(source.module)
    __import__(source.module)
    return sys.modules[source.module]


def fault_of(path: str, dataclass_wanted: bool = False) -> str:
    """Why `package.module:Name` cannot be had, as far as the files tell; empty if nothing speaks against it.

    Runs nothing but the `__init__` of the packages above the module.
    """
    module, _, name = path.partition(":")
    if module in sys.modules:
        return "" if hasattr(sys.modules[module], name) else f"{module} has no {name}"
    try:
        spec = importlib.util.find_spec(module)
    except Exception as error:  # the package's own __init__ may raise anything
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            return f"there is no module {error.name}"
        return f"{module} cannot be looked up: {type(error).__name__}: {error}"
    if spec is None:
        return f"there is no module {module}"
    if spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    text = Path(spec.origin).read_text(encoding="utf-8", errors="replace")
    if re.search(r"import \*|def __getattr__", text):
        return ""
    if not re.search(rf"\b{name}\b", text):
        return f"{module} has no {name}"
    if dataclass_wanted and (plain := re.search(rf"^class {name}(\(\))?:", text, re.MULTILINE)):
        above = text[: plain.start()].rpartition("\n\n")[2]
        if not re.search(r"^@", above, re.MULTILINE):
            return f"{path} is not a dataclass"
    return ""
