"""Resolves component names without distribution that several distributions provide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bozzetto.config.recipe_file import RecipeFile, says
from bozzetto.errors import ConfigError
from bozzetto.kinds import KINDS
from bozzetto.registry.discovery import Registry
from bozzetto.spec import Entry


class Names:
    """Resolves the names of one recipe; a shipped recipe prefers components of its own distribution.

    Args:
        overrides: command-line overrides as nested values.
    """

    def __init__(self, registry: Registry, file: RecipeFile, profile: str, overrides: Mapping[str, Any]) -> None:
        self.registry, self.file, self.profile, self.overrides = registry, file, profile, overrides
        self.stage = ""
        """Stage being read."""
        self.provided_by: dict[str, str] = {}

    def take(self, values: object) -> None:
        """Apply the recipe's `provided_by`.

        Raises:
            ConfigError: it is not a mapping of `KIND/NAME` to distributions.
        """
        named = values or {}
        if not isinstance(named, Mapping):
            raise ConfigError(f"provided_by: expected distributions by KIND/NAME, got {values!r}.")
        for name, dist in dict(named).items():
            if str(name).partition("/")[0] not in KINDS or not isinstance(dist, str):
                raise ConfigError(f"provided_by.{name}: expected e.g. loss/sparsity: bozzetto, got {dist!r}.")
            self.provided_by[str(name)] = dist

    def find(self, kind: str, name: str, place: str) -> Entry:
        """Return the entry that `name` refers to at a dotted key of the recipe.

        Raises:
            PluginError: as in `Registry.find`.
        """
        if len(self.registry.entries.get((kind, name), ())) < 2:
            return self.registry.find(kind, name, place)
        prefer = [*self._shippers(place), self.provided_by.get(f"{kind}/{name}", "")]
        return self.registry.find(kind, name, place, prefer)

    def _shippers(self, place: str) -> list[str]:
        """Return the distributions that ship the file which gives the name.

        A `type` belongs to the file whose value is in effect. Where the key is the name, as for a loss, it belongs to
        the first file that has the key, even if others have changed its weight.
        """
        overridden = says(self.overrides, place) or says(self.overrides, f"stages.{self.stage}.{place}")
        if place.endswith(".type"):
            return [] if overridden else self.file.shippers(place, self.profile, self.stage)[:1]
        return self.file.shippers(place, self.profile, self.stage, exact=overridden)[-1:]
