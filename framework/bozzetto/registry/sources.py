"""Locates plugins and inspects their source files without running them. Imports no torch."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bozzetto.errors import PluginError
from bozzetto.registry.containment import LIMIT_S
from bozzetto.spec import load

GROUP = "bozzetto.plugins"


@dataclass(frozen=True)
class Source:
    """Source of a plugin or command: an entry point of a distribution, or a module named in the environment."""

    dist: str
    version: str
    name: str
    module: str

    @property
    def key(self) -> str:
        """Unique key `distribution:name`."""
        return f"{self.dist}:{self.name}"


def installed_sources(
    environment: Mapping[str, str], group: str = GROUP, variable: str = "BOZZETTO_PLUGINS"
) -> list[Source]:
    """Return the sources in an entry-point group, and those in a variable: `module` or `name=module`, comma-separated.

    The defaults are those of plugins. `BOZZETTO_DISABLE` leaves distributions out.
    """
    found = {_source(ep) for ep in importlib.metadata.entry_points(group=group)}
    for item in filter(None, environment.get(variable, "").split(",")):
        name, _, module = item.strip().rpartition("=")
        found.add(Source("local", "0", name or module, module))
    blocked = {canonical(name) for name in environment.get("BOZZETTO_DISABLE", "").split(",")}
    return sorted((source for source in found if source.dist not in blocked), key=lambda s: (s.dist, s.name))


def import_limit_s(environment: Mapping[str, str]) -> float:
    """Return the time limit in seconds for listing one plugin, from `BOZZETTO_PLUGIN_SECONDS`.

    Raises:
        PluginError: it is not a valid number of seconds.
    """
    text = environment.get("BOZZETTO_PLUGIN_SECONDS", "").strip()
    try:
        limit_s = float(text or LIMIT_S)
    except ValueError:
        limit_s = math.nan
    if not 0.0 < limit_s <= 86400.0:
        raise PluginError(f"BOZZETTO_PLUGIN_SECONDS: must be seconds above 0, at most a day, got {text!r}.")
    return limit_s


def canonical(name: str) -> str:
    """Normalise a distribution's name: `bozzetto-blocky`."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _source(entry_point: importlib.metadata.EntryPoint) -> Source:
    """Return the source of an entry point; `unknown 0` for a distribution with damaged metadata."""
    try:
        dist = entry_point.dist
        assert dist is not None
        return Source(canonical(dist.name), dist.version, entry_point.name, entry_point.value)
    except Exception:  # whatever reading damaged metadata raises in this version of Python
        return Source("unknown", "0", entry_point.name, entry_point.value)


def import_source(source: Source) -> Any:
    """Import a plugin's manifest: `package.module` or `package.module:attribute`."""
    if ":" in source.module:
        return load(source.module)
    __import__(source.module)
    return sys.modules[source.module]


def fault_of(path: str, dataclass_wanted: bool = False) -> str:
    """Check statically whether `package.module:Name` can be imported; returns the reason or ''.

    Runs no code of the plugin, not even the `__init__` of its packages.
    """
    module, _, name = path.partition(":")
    if module in sys.modules:
        here = vars(sys.modules[module])
        return "" if name in here or "__getattr__" in here else f"{module} has no {name}"
    try:
        spec, lacking = _spec_of(module)
    except Exception as error:  # raised by a finder that another package has installed
        return f"{module} cannot be looked up: {type(error).__name__}: {error}"
    if lacking:
        return f"there is no module {lacking}"
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    text = _text(spec.origin)
    if re.search(r"import \*|def __getattr__", text):
        return ""
    if not re.search(rf"\b{name}\b", text):
        return f"{module} has no {name}"
    if dataclass_wanted and (plain := re.search(rf"^class {name}(\(\))?:", text, re.MULTILINE)):
        above = text[: plain.start()].rpartition("\n\n")[2]
        if not re.search(r"^@", above, re.MULTILINE):
            return f"{path} is not a dataclass"
    return ""


def _spec_of(module: str) -> tuple[importlib.machinery.ModuleSpec | None, str]:
    """Find a module and the first missing module on its path; both empty if only an import could tell."""
    full, *rest = module.split(".")
    spec = importlib.util.find_spec(full)  # imports nothing for a name without dots
    for name in rest:
        if spec is None or spec.submodule_search_locations is None:
            break
        package, above = sys.modules.get(full), spec.origin or ""
        where = list(getattr(package, "__path__", spec.submodule_search_locations))
        full = f"{full}.{name}"
        spec = importlib.machinery.PathFinder.find_spec(full, where)
        if spec is None and package is None and "__path__" in _text(above):
            return None, ""  # the package extends its own search path
    return spec, "" if spec is not None and full == module else full


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace") if path.endswith(".py") else ""
