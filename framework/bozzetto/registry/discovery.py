"""Finds plugins, indexes their declarations, and imports a component only when it is built."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import pluggy

from bozzetto import hookspecs
from bozzetto.errors import PluginError, UserError, did_you_mean
from bozzetto.kinds import KINDS
from bozzetto.registry.containment import LIMIT_S, quietly
from bozzetto.registry.sources import Source, canonical, fault_of, import_source, installed_sources
from bozzetto.spec import ComponentSpec, Entry, ModelEntry, ModelSpec, load

__all__ = ["HEAVY", "Registry", "Source", "installed_sources", "status_of"]

HEAVY = ("torch", "diffusers", "transformers", "tinycudann")
Key = TypeVar("Key")
Declared = TypeVar("Declared", bound=Entry | ModelEntry)

PREFIX = "bozzetto_"
"""Prefix of every hook's name."""
MOST = 1000
"""Maximum number of components, of recipe folders and of models that a plugin declares."""


@dataclass
class Registry:
    """Components declared by plugins, by `(kind, name)`. Not a global: tests create their own."""

    manager: pluggy.PluginManager
    entries: dict[tuple[str, str], list[Entry]] = field(default_factory=dict)
    broken: dict[Source, BaseException] = field(default_factory=dict)
    """Plugins that failed to load, and the errors."""
    heavy: dict[Source, tuple[str, ...]] = field(default_factory=dict)
    """Heavy packages imported by listing each plugin."""
    recipe_folders: list[tuple[str, Path]] = field(default_factory=list)
    """`(distribution, folder)` of every recipe folder shipped by a plugin."""
    models: dict[str, list[ModelEntry]] = field(default_factory=dict)
    """Models declared by plugins, by alias."""
    limit_s: float = LIMIT_S
    """Time limit in seconds for listing a plugin, or importing a config of it."""
    unimportable: dict[str, str] = field(default_factory=dict)
    """Error by path of each failed import, which is not repeated."""

    @classmethod
    def discover(cls, sources: Iterable[Source], strict: bool = False, limit_s: float = LIMIT_S) -> Registry:
        """Load each manifest. A broken or slow one is recorded and does not affect the others.

        Raises:
            PluginError: `strict`, and a plugin failed to load or a component of it cannot work; names them all.
        """
        manager = pluggy.PluginManager("bozzetto")
        manager.add_hookspecs(hookspecs)
        registry = cls(manager, limit_s=limit_s)
        for source in sources:
            before = set(sys.modules)
            outcome = quietly(functools.partial(registry._declared, source), source.key, limit_s)
            try:
                specs, folders, models = outcome.unwrap()
                registry._index(source, specs, folders, models, slow=heavy_since(before))
            except BaseException as error:
                if outcome.fault is None and not isinstance(error, PluginError):
                    raise
                registry.broken[source] = error
                if manager.has_plugin(source.key):
                    manager.unregister(name=source.key)
            registry.heavy[source] = heavy_since(before)
        if strict and (faults := registry.faults()):
            raise PluginError("\n".join(faults))
        return registry

    def _declared(self, source: Source) -> tuple[list[ComponentSpec], list[Path], list[ModelSpec]]:
        """Return what a plugin declares. Runs all of its code; only the registration persists."""
        plugin = import_source(source)
        self.manager.register(plugin, name=source.key)
        self.manager.check_pending()  # a misspelt hook name is an error, not a no-op
        _check_hooks(plugin, len(self.manager.get_hookcallers(plugin) or ()))
        others = [other for other in self.manager.get_plugins() if other is not plugin]
        offers = []
        for hook in ("bozzetto_components", "bozzetto_recipes", "bozzetto_models"):
            given = self.manager.subset_hook_caller(hook, remove_plugins=others)()
            offers.append(list(itertools.islice((item for batch in given for item in batch), MOST + 1)))
            if len(offers[-1]) > MOST:
                raise PluginError(f"{hook} gives more than {MOST} things; does it ever end?")
        specs, folders, models = offers
        return list(map(_checked, specs)), list(map(_checked_folder, folders)), list(map(_checked_model, models))

    def _index(
        self,
        source: Source,
        specs: Sequence[ComponentSpec],
        folders: Sequence[Path],
        models: Sequence[ModelSpec],
        slow: tuple[str, ...],
    ) -> None:
        entries = [Entry(source.dist, source.version, spec, slow) for spec in specs]
        named = [((entry.spec.kind, entry.spec.name), entry) for entry in entries]
        aliased = [(spec.alias, ModelEntry(source.dist, source.version, spec)) for spec in models]
        _check_twins(self.entries, named)
        _check_twins(self.models, aliased)  # before anything is added: a broken plugin leaves nothing behind
        _add(self.entries, named)
        _add(self.models, aliased)
        self.recipe_folders += [(source.dist, folder) for folder in folders]

    def faults(self) -> list[str]:
        """Return a line for every plugin that failed to load and every component that is not as declared."""
        lines = [
            f"Plugin {source.key} failed to load: {type(error).__name__}: {error}"
            for source, error in self.broken.items()
        ]
        for entries in self.entries.values():
            stated = [(entry, status_of(entry)) for entry in entries]
            lines += [f"{entry.title} is {status}." for entry, status in stated if status.startswith("broken")]
        return lines

    def names(self, kind: str) -> list[str]:
        """Return all names of a kind, sorted."""
        return sorted(name for k, name in self.entries if k == kind)

    def find(self, kind: str, name: str, where: str = "", prefer: Sequence[str] = ()) -> Entry:
        """Return the only usable entry for `name` or `distribution/name`.

        Args:
            prefer: distributions in order of preference for a name that several provide.

        Raises:
            PluginError: unknown (with the nearest name), provided twice, incompatible, broken, or missing a package.
        """
        prefix = f"{where}: " if where else ""
        dist, _, bare = name.rpartition("/")
        found = [entry for entry in self.entries.get((kind, bare), []) if not dist or canonical(dist) == entry.dist]
        if not found:
            raise PluginError(prefix + self._unknown(kind, name, bare, dist))
        if len(found) > 1:
            found = next(([entry] for dist in prefer for entry in found if entry.dist == canonical(dist)), found)
        if len(found) > 1:
            who = ", ".join(f"{entry.dist} {entry.version}" for entry in found)
            fix = " or ".join(f"'{entry.dist}/{bare}'" for entry in found)
            raise PluginError(f"{prefix}{kind} {bare!r} is provided by {who}. Write {fix}.")
        (entry,) = found
        status = status_of(entry)
        if status.startswith("missing"):
            packages = " ".join(entry.spec.missing())
            raise PluginError(
                f"{prefix}{entry.title} needs packages that are not installed: {packages}. "
                f"Install them with 'pip install {packages}', or choose another of: {', '.join(self.names(kind))}."
            )
        if status != "ok" and not status.startswith("slow"):
            raise PluginError(f"{prefix}{entry.title} is {status}. {_cure(entry, status)}")
        return entry

    def _unknown(self, kind: str, name: str, bare: str, dist: str) -> str:
        names = self.names(kind)
        elsewhere = sorted(k for k, n in self.entries if n == bare)
        hint = did_you_mean(bare, names) or (f" {bare!r} is a {elsewhere[0]}." if elsewhere else "")
        here = {entry.dist for entries in self.entries.values() for entry in entries}
        if dist and canonical(dist) not in here:
            hint = f" The distribution {dist!r} has no components here; is it installed?{hint}"
        known = ", ".join(names) or "none (run 'pip install -e .' in the project folder)"
        lost = f" {len(self.broken)} plugin(s) failed to load; see 'bozzetto plugins list'." if self.broken else ""
        return f"there is no {kind} named {name!r}.{hint} Known: {known}.{lost}"

    def config_type(self, kind: str, name: str, where: str = "") -> type:
        """Return the config dataclass of a component; imports no torch.

        Raises:
            PluginError: it cannot be imported, or is not a dataclass.
        """
        entry = self.find(kind, name, where)
        schema = self._imported(entry, entry.spec.config, where, self.limit_s)
        if not is_dataclass(schema) or not isinstance(schema, type):
            prefix = f"{where}: " if where else ""
            raise PluginError(f"{prefix}{entry.title} is broken: its config {entry.spec.config} is not a dataclass.")
        return schema

    def configured(self, entry: Entry, bind: Callable[[], Any], where: str) -> Any:
        """Return the result of `bind`, which creates a component's config; its checks may raise any exception.

        Raises:
            UserError: raised by `bind`.
            PluginError: the config raised another exception, or takes too long.
        """
        outcome = quietly(bind, f"{entry.dist}:{entry.spec.config}", self.limit_s)
        if outcome.fault is None or isinstance(outcome.fault, UserError):
            return outcome.unwrap()
        why = f"{type(outcome.fault).__name__}: {outcome.fault}"
        raise PluginError(f"{where}: {entry.title} is broken: its config raises {why}") from outcome.fault

    def implementation(self, kind: str, name: str) -> type:
        """Return the class of a component. This may import torch, and has no time limit.

        Raises:
            PluginError: it cannot be imported, or is not a class.
        """
        entry = self.find(kind, name)
        target = self._imported(entry, entry.spec.target, "", None)
        if not isinstance(target, type):
            raise PluginError(f"{entry.title} is broken: its target {entry.spec.target} is not a class.")
        return target

    def _imported(self, entry: Entry, path: str, where: str, limit_s: float | None) -> object:
        module, _, name = path.partition(":")
        if module in sys.modules and name in vars(sys.modules[module]):
            return vars(sys.modules[module])[name]
        fault = None
        if path not in self.unimportable:
            outcome = quietly(lambda: load(path), f"{entry.dist}:{module}", limit_s)
            if (fault := outcome.fault) is None:
                return outcome.value
            self.unimportable[path] = f"{path} cannot be imported: {type(fault).__name__}: {fault}"
        prefix = f"{where}: " if where else ""
        raise PluginError(f"{prefix}{entry.title} is broken: {self.unimportable[path]}") from fault


def status_of(entry: Entry) -> str:
    """Return `ok`, `incompatible: ...`, `missing: ...`, `broken: ...` or `slow: ...`; slow ones can be used."""
    spec, kind = entry.spec, KINDS.get(entry.spec.kind)
    if kind is None:
        return f"incompatible: this host has no kind {spec.kind!r}"
    if spec.api != kind.api:
        return f"incompatible: {spec.kind} api {spec.api}, this host has {kind.api}"
    if missing := spec.missing():
        return f"missing: {', '.join(missing)}"
    if fault := fault_of(spec.config, dataclass_wanted=True) or fault_of(spec.target):
        return f"broken: {fault}"
    return f"slow: imports {', '.join(entry.slow)}" if entry.slow else "ok"


def _checked(spec: object) -> ComponentSpec:
    if not isinstance(spec, ComponentSpec):
        raise PluginError(f"bozzetto_components must give ComponentSpecs, not {spec!r}.")
    return spec


def _checked_model(spec: object) -> ModelSpec:
    if not isinstance(spec, ModelSpec):
        raise PluginError(f"bozzetto_models must give ModelSpecs, not {spec!r}.")
    return spec


def _checked_folder(folder: object) -> Path:
    if not isinstance(folder, Path) or not folder.is_dir():
        raise PluginError(f"bozzetto_recipes must give folders that exist, as pathlib.Path, not {folder!r}.")
    next(folder.iterdir(), None)  # raises if it is not readable
    return Path(folder)


def _check_twins(found: Mapping[Key, Sequence[Declared]], offered: Sequence[tuple[Key, Declared]]) -> None:
    """Raise `PluginError` if a distribution declares a name twice, differently."""
    for key, entry in offered:
        twins = [*found.get(key, []), *(other for name, other in offered if name == key)]
        if any(twin.dist == entry.dist and twin != entry for twin in twins):
            raise PluginError(f"{entry.dist} declares {entry.title.rpartition(' from ')[0]} twice.")


def _add(found: dict[Key, list[Declared]], offered: Sequence[tuple[Key, Declared]]) -> None:
    """Add what a distribution declares to all that is declared under the same names; repetitions are dropped."""
    for key, entry in offered:
        if entry not in found.setdefault(key, []):
            found[key].append(entry)


def _check_hooks(plugin: object, implemented: int) -> None:
    """Raise `PluginError` for an unmarked function with a hook's name, which would be ignored silently."""
    for name, value in vars(plugin).items() if hasattr(plugin, "__dict__") else ():
        if name.startswith(PREFIX) and callable(value) and not hasattr(value, "bozzetto_impl"):
            raise PluginError(f"{name} is not marked with @hookimpl.")
    if not implemented:
        raise PluginError(f"it implements no hook; a plugin defines {PREFIX}components or another, with @hookimpl.")


def heavy_since(before: set[str]) -> tuple[str, ...]:
    """Return the heavy packages that have been imported since `sys.modules` had the names `before`."""
    return tuple(name for name in HEAVY if name in sys.modules and name not in before)


def _cure(entry: Entry, status: str) -> str:
    if status.startswith("broken"):
        return f"Tell the authors of {entry.dist}."
    newer = entry.spec.kind not in KINDS or entry.spec.api > KINDS[entry.spec.kind].api
    return f"Install a {'newer bozzetto' if newer else f'newer {entry.dist}'}."
