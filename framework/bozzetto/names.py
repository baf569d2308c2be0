"""Choice of the distribution that a bare name in a recipe means, where several provide it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bozzetto.errors import ConfigError
from bozzetto.recipe_file import RecipeFile, says
from bozzetto.registry import Entry, Registry
from bozzetto.spec import KINDS


class Names:
    """Meanings of the names in one recipe: in a shipped recipe, first of all what its own distribution ships.

    Args:
        overrides: what the command line says, as nested values.
    """

    def __init__(self, registry: Registry, file: RecipeFile, profile: str, overrides: Mapping[str, Any]) -> None:
        self.registry, self.file, self.profile, self.overrides = registry, file, profile, overrides
        self.stage = ""
        """The stage being read."""
        self.provided_by: dict[str, str] = {}

    def take(self, values: object) -> None:
        """Follow the recipe's `provided_by`.

        Raises:
            ConfigError: it is no mapping of `KIND/NAME` to distributions.
        """
        named = values or {}
        if not isinstance(named, Mapping):
            raise ConfigError(f"provided_by: expected distributions by KIND/NAME, got {values!r}.")
        for name, dist in dict(named).items():
            if str(name).partition("/")[0] not in KINDS or not isinstance(dist, str):
                raise ConfigError(f"provided_by.{name}: expected e.g. loss/sparsity: bozzetto, got {dist!r}.")
            self.provided_by[str(name)] = dist

    def find(self, kind: str, name: str, place: str) -> Entry:
        """The entry that `name` means at a dotted key of the recipe.

        Raises:
            PluginError: as `Registry.find`.
        """
        if len(self.registry.entries.get((kind, name), ())) < 2:
            return self.registry.find(kind, name, place)
        prefer = [*self._shippers(place), self.provided_by.get(f"{kind}/{name}", "")]
        return self.registry.find(kind, name, place, prefer)

    def _shippers(self, place: str) -> list[str]:
        """The distributions that ship the file that says the name.

        A `type` is said by the value that won. Where the key is the name, as of a loss, it means what it meant to
        the first who said it, however many others have changed its weight.
        """
        overridden = says(self.overrides, place) or says(self.overrides, f"stages.{self.stage}.{place}")
        if place.endswith(".type"):
            return [] if overridden else self.file.shippers(place, self.profile, self.stage)[:1]
        return self.file.shippers(place, self.profile, self.stage, exact=overridden)[-1:]
