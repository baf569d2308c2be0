"""Models that plugins declare, by alias. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bozzetto.errors import ModelError
from bozzetto.registry.discovery import Registry
from bozzetto.registry.sources import canonical
from bozzetto.spec import ModelEntry
from bozzetto.weights.faults import check_folder
from bozzetto.weights.folder import missing_parts


@dataclass(frozen=True)
class Catalogue:
    """Declared models by alias."""

    models: Mapping[str, Sequence[ModelEntry]]

    @classmethod
    def of(cls, registry: Registry) -> Catalogue:
        """Return the models that the plugins of a registry declare."""
        return cls(registry.models)

    def __iter__(self) -> Iterator[ModelEntry]:
        return (entry for _, found in sorted(self.models.items()) for entry in found)

    @property
    def names(self) -> list[str]:
        """Every name that refers to one model: aliases, with the distribution where several declare the same."""
        return [self.name_of(entry) for entry in self]

    def name_of(self, entry: ModelEntry) -> str:
        """Return the shortest name that refers to this model alone: `alias` or `distribution/alias`."""
        alone = len(self.models[entry.spec.alias]) == 1
        return entry.spec.alias if alone else f"{entry.dist}/{entry.spec.alias}"

    def find(self, name: str, prefer: Sequence[str] = ()) -> ModelEntry | None:
        """Return the model that `alias` or `distribution/alias` refers to; None if it refers to none.

        Args:
            prefer: distributions in order of preference for an alias that several declare.

        Raises:
            ModelError: several distributions declare the alias, and none is preferred.
        """
        dist, _, alias = name.rpartition("/")
        found = [entry for entry in self.models.get(alias, ()) if not dist or canonical(dist) == entry.dist]
        if len(found) > 1:
            found = next(([entry] for dist in prefer for entry in found if entry.dist == canonical(dist)), found)
        if len(found) > 1:
            who = ", ".join(f"{entry.dist} {entry.version}" for entry in found)
            fix = " or ".join(f"'{entry.dist}/{alias}'" for entry in found)
            raise ModelError(f"model {alias!r} is provided by {who}. Write {fix}.")
        return found[0] if found else None

    def name_of_repository(self, repository: str) -> str:
        """Return the name of the model that has a hub repository, existing or withdrawn; empty if none has it."""
        for entry in self:
            listed = (item.partition("@")[0] for item in (*entry.spec.repositories, *entry.spec.withdrawn))
            if repository.partition("@")[0] in listed:
                return self.name_of(entry)
        return ""


def status_of(entry: ModelEntry) -> str:
    """Return `ok` or `broken: ...`; weights are not read."""
    found = faults_of(entry)
    return f"broken: {'; '.join(found)}" if found else "ok"


def faults_of(entry: ModelEntry, deep: bool = False) -> list[str]:
    """Return what is missing or damaged in a model that its distribution ships; empty for one that is downloaded.

    Args:
        deep: whether to read settings and headers of weights, too.
    """
    folder = entry.spec.folder
    if folder is None:
        return []
    try:
        if not folder.is_dir():
            return [f"there is no folder {folder}"]
        lacking = missing_parts(folder)
        if deep and not lacking:
            check_folder(folder)
    except ModelError as error:
        return [str(error)]
    return lacking
