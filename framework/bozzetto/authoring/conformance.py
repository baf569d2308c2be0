"""`bozzetto plugins check`: loads every component and command and compares it with its declaration and contract."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from typing import Any

from bozzetto.authoring.command_conformance import command_findings
from bozzetto.config.binding import bind, describe, plain
from bozzetto.config.loading import load_recipe
from bozzetto.config.recipe_file import read_recipe, shipped_recipes
from bozzetto.errors import PluginError, UserError, did_you_mean
from bozzetto.kinds import KINDS
from bozzetto.registry.commands import PackageCommands
from bozzetto.registry.containment import contained
from bozzetto.registry.discovery import HEAVY, Registry, status_of
from bozzetto.registry.sources import canonical
from bozzetto.spec import Entry, load
from bozzetto.weights.catalogue import Catalogue, faults_of

PATIENCE = 12
"""Time limit for loading a component, in multiples of that for listing its plugin."""

NO_COMMANDS = PackageCommands(())


def report(registry: Registry, distributions: Iterable[str], commands: PackageCommands = NO_COMMANDS) -> int:
    """Print a line per command, component, model, recipe and fault.

    Returns:
        0 if there are no faults, else 1.

    Raises:
        PluginError: a distribution has no plugin and no command here.
    """
    chosen = {canonical(name) for name in distributions}
    here = {source.dist for source in (*registry.heavy, *commands.sources)}
    for name in sorted(chosen - here):
        raise PluginError(f"no plugin of {name!r} is installed.{did_you_mean(name, here)} Here: {', '.join(here)}.")
    faults = 0
    for title, found in findings(registry, chosen or here, commands):
        print("\n".join([f"{'WRONG' if found else 'ok   '}  {title}", *(f"         {fault}" for fault in found)]))
        faults += bool(found)
    print(f"{faults} of them cannot be used as they are" if faults else "all of them conform")
    return 1 if faults else 0


def findings(
    registry: Registry, distributions: Iterable[str], commands: PackageCommands = NO_COMMANDS
) -> list[tuple[str, list[str]]]:
    """Return the faults of each command, plugin, component, model and recipe of some distributions, by title."""
    chosen = set(distributions)
    found = command_findings(commands.of(chosen))  # before any target is imported
    found += [
        (f"plugin {source.key}", [f"it failed to load: {type(error).__name__}: {error}"])
        for source, error in registry.broken.items()
        if source.dist in chosen
    ]
    entries = [entry for slot in registry.entries.values() for entry in slot if entry.dist in chosen]
    heavy = _heavy_configs(registry, entries)  # before any target is imported
    for entry in sorted(entries, key=lambda item: (item.dist, item.spec.kind, item.spec.name)):
        found.append((entry.title, [*heavy.get(id(entry), []), *_contained_faults(registry, entry)]))
    for model in Catalogue.of(registry):
        if model.dist in chosen:
            found.append((model.title, faults_of(model, deep=True)))
    for name in shipped_recipes(registry):
        if name.partition("/")[0] in chosen:
            found.append((f"recipe {name}", recipe_faults(registry, name)))
    return found


def _contained_faults(registry: Registry, entry: Entry) -> list[str]:
    """Run `component_faults`; an exception of the plugin's own code becomes a fault."""
    outcome = contained(lambda: component_faults(registry, entry), entry.title, PATIENCE * registry.limit_s)
    fault = outcome.fault
    return outcome.unwrap() if fault is None else [f"checking it failed: {type(fault).__name__}: {fault}"]


def component_faults(registry: Registry, entry: Entry) -> list[str]:
    """Return why a component does not conform to its manifest; empty if it does."""
    name = f"{entry.dist}/{entry.spec.name}"
    try:
        registry.find(entry.spec.kind, name)
        schema = registry.config_type(entry.spec.kind, name)
        target = registry.implementation(entry.spec.kind, name)
    except PluginError as error:
        return [str(error)]
    slow = [f"it is {status_of(entry)}; move that import behind `target`"] if entry.slow else []
    return slow + _config_faults(schema) + _target_faults(entry.spec.kind, target)


def recipe_faults(registry: Registry, name: str) -> list[str]:
    """Return why a shipped recipe cannot be loaded, in any of its profiles."""
    path = shipped_recipes(registry)[name]
    try:
        profiles = read_recipe(path, registry).profile_names
    except UserError as error:
        return [str(error)]
    found = []
    for profile in profiles or ["auto"]:
        try:
            load_recipe(path, registry, profile=profile)
        except UserError as error:
            found.append(f"profile {profile}: {error}")
    return found


def _heavy_configs(registry: Registry, entries: Iterable[Entry]) -> dict[int, list[str]]:
    """Return faults of configs whose module imports a heavy package; not detected if it is imported already."""
    found = {}
    for entry in entries:
        before = set(sys.modules)
        try:
            registry.config_type(entry.spec.kind, f"{entry.dist}/{entry.spec.name}")
        except PluginError:
            continue  # reported by `component_faults`
        heavy = [name for name in HEAVY if name in sys.modules and name not in before]
        if heavy:
            found[id(entry)] = [f"its config's module imports {', '.join(heavy)}; configs are read without it"]
    return found


def _config_faults(schema: type) -> list[str]:
    found = []
    if not schema.__dataclass_params__.frozen:  # type: ignore[attr-defined] # which typeshed does not declare
        found.append(f"{schema.__name__} is not frozen: write @dataclass(frozen=True)")
    try:
        bare = [item.name for item in describe(schema) if not item.text]
    except (NameError, TypeError) as error:  # an undefined name in an annotation
        return [*found, f"the annotations of {schema.__name__} cannot be read: {error}"]
    found += [f"{schema.__name__}.{name} has no string below it that says what it means" for name in bare]
    if any(f.default is MISSING and f.default_factory is MISSING for f in fields(schema)):
        return found
    try:
        default = schema()
    except ValueError:  # a field is required
        return found
    return found + _raised(lambda: bind(schema, plain(default), schema.__name__), "its defaults do not bind")


def _target_faults(kind: str, target: type) -> list[str]:
    row = KINDS[kind]
    protocol, found = load(row.protocol), []
    for name in sorted(_methods(protocol)):
        offered = getattr(target, name, None)
        if not callable(offered) and not (name == "__call__" and hasattr(target, "forward")):
            found.append(f"{target.__name__} has no method {name}, see {row.protocol.partition(':')[0]}")
    signature = inspect.signature(target)
    words = ", ".join(("config", *row.arguments))
    found += _raised(
        lambda: signature.bind(*(None for _ in ("config", *row.arguments))),
        f"{target.__name__} must be constructed as {target.__name__}({words})",
    )
    if row.is_module:
        from torch import nn

        if not issubclass(target, nn.Module):
            found.append(f"{target.__name__} is not a torch.nn.Module, and a {kind} is trained or saved")
    return found


def _methods(protocol: Any) -> set[str]:
    """Return the methods that a protocol requires."""
    own = {name for base in protocol.__mro__ if getattr(base, "_is_protocol", False) for name in vars(base)}
    return {
        name
        for name in own
        if inspect.isfunction(getattr(protocol, name, None)) and (not name.startswith("_") or name == "__call__")
    }


def _raised(attempt: Callable[[], object], what: str) -> list[str]:
    try:
        attempt()
    except Exception as error:  # raised by the plugin's own code
        return [f"{what}: {type(error).__name__}: {error}"]
    return []
