"""Resolves names of components and models without distribution that several distributions provide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bozzetto.config.recipe_file import RecipeFile, says
from bozzetto.errors import ConfigError, ModelError
from bozzetto.kinds import KINDS
from bozzetto.registry.discovery import Registry
from bozzetto.spec import Entry
from bozzetto.weights.catalogue import Catalogue


class Names:
    """Resolves the names of one recipe; a shipped recipe prefers what its own distribution provides.

    Args:
        overrides: command-line overrides as nested values.
    """

    def __init__(self, registry: Registry, file: RecipeFile, profile: str, overrides: Mapping[str, Any]) -> None:
        self.registry, self.file, self.profile, self.overrides = registry, file, profile, overrides
        self.stage = ""
        """Stage being read."""
        self.provided_by: dict[str, str] = {}
        self.aliases: dict[str, str] = {}
        """Distribution of each model found by a bare alias."""

    def take(self, values: object) -> None:
        """Apply the recipe's `provided_by`.

        Raises:
            ConfigError: it is not a mapping of `KIND/NAME` to distributions.
        """
        named = values or {}
        if not isinstance(named, Mapping):
            raise ConfigError(f"provided_by: expected distributions by KIND/NAME, got {values!r}.")
        for name, dist in dict(named).items():
            if str(name).partition("/")[0] not in (*KINDS, "model") or not isinstance(dist, str):
                raise ConfigError(f"provided_by.{name}: expected e.g. loss/sparsity: bozzetto, got {dist!r}.")
            self.provided_by[str(name)] = dist

    def find(self, kind: str, name: str, place: str) -> Entry:
        """Return the entry that `name` refers to at a dotted key of the recipe.

        Raises:
            PluginError: as in `Registry.find`.
        """
        if len(self.registry.entries.get((kind, name), ())) < 2:
            return self.registry.find(kind, name, place)
        prefer = [*self._shippers(place, is_value=place.endswith(".type")), self.provided_by.get(f"{kind}/{name}", "")]
        return self.registry.find(kind, name, place, prefer)

    def find_model(self, name: str, place: str, default_of: str = "") -> str | None:
        """Return the name of the model that the text at a dotted key means; None if it is no alias.

        The name contains the distribution if several declare the alias.

        Args:
            default_of: distribution of the component whose default value the text is, if it is one.

        Raises:
            ModelError: several distributions declare the alias, and none is preferred.
        """
        prefer = [] if default_of else self._shippers(place, is_value=True)
        try:
            prefer += [self.provided_by.get(f"model/{name}", ""), default_of]
            entry = Catalogue.of(self.registry).find(name, prefer)
        except ModelError as error:
            raise ModelError(f"{place}: {error}") from error
        if entry is None:
            return None
        if name != entry.spec.alias:
            return name
        self.aliases[name] = entry.dist
        return name if len(self.registry.models[name]) == 1 else f"{entry.dist}/{name}"

    def _shippers(self, place: str, is_value: bool) -> list[str]:
        """Return the distributions that ship the file which gives the name.

        A value, `type` or `model`, belongs to the file whose value is in effect. Where the key is the name, as for a
        loss, it belongs to the first file that has the key, even if others have changed its weight.
        """
        overridden = says(self.overrides, place) or says(self.overrides, f"stages.{self.stage}.{place}")
        if is_value:
            return [] if overridden else self.file.shippers(place, self.profile, self.stage)[:1]
        return self.file.shippers(place, self.profile, self.stage, exact=overridden)[-1:]
