"""Recipe file and the recipes it extends: layering, and the location of a key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bozzetto.config import layers
from bozzetto.config.binding import convert
from bozzetto.config.profiles import base_of
from bozzetto.config.requirements import check_requirements
from bozzetto.errors import ConfigError, UserError, did_you_mean, shown
from bozzetto.registry.discovery import Registry

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class RecipeFile:
    """Recipe file, and the file that it extends."""

    path: Path
    values: Mapping[str, Any]
    """Values of the file without `extends` and `profiles`."""
    profiles: Mapping[str, Mapping[str, Any]]
    parent: RecipeFile | None
    dist: str = ""
    """Distribution that ships it; empty: none."""

    @property
    def chain(self) -> tuple[RecipeFile, ...]:
        """This file, then the one it extends, and so on."""
        return (self, *(self.parent.chain if self.parent else ()))

    @property
    def profile_names(self) -> list[str]:
        """All profiles of the chain, starting with the farthest ancestor's."""
        return list(dict.fromkeys(name for file in reversed(self.chain) for name in file.profiles))

    def layered(self, profile: str) -> dict[str, Any]:
        """Return the values of the whole chain; a file, including its profile, overrides all values of its parent.

        A recipe does not inherit `name`; the requirements of all files are combined.
        """
        values = self.parent.layered(profile) if self.parent else {}
        values.pop("name", None)
        changes = self.changes(profile)
        said = (values, self.values, changes)
        required = list(dict.fromkeys(name for part in said for name in part.get("plugins") or ()))
        values = layers.overlay(layers.overlay(values, self.values), changes)
        return {**values, "plugins": required} if required else values

    def changes(self, profile: str) -> dict[str, Any]:
        """Return what this file's profile changes: for `cuda-12gb` that of `cuda`, then its own."""
        base = dict(self.profiles.get(base_of(profile), {}))
        return base if base_of(profile) == profile else layers.overlay(base, self.profiles.get(profile, {}), True)

    def find(self, key: str, profile: str, stage: str) -> tuple[Path, int] | None:
        """Return file and line of the effective value of a dotted key such as `system.geometry.span[0]`."""
        parts = layers.key_parts(key)
        in_stage = ["stages", stage, *parts]
        for file in self.chain:
            names = dict.fromkeys((profile, base_of(profile)))
            said = [["profiles", name, *place] for place in (in_stage, parts) for name in names]
            count = len(names)
            for place in (*said[:count], in_stage, *said[count:], parts):
                if (line := layers.line_of(file.path, place)) is not None:
                    return file.path, line
        return None

    def shippers(self, key: str, profile: str, stage: str, exact: bool = False) -> list[str]:
        """Return the distributions of the files with a value at a dotted key, the effective one first; `""` for none.

        Args:
            exact: do not consider parent keys, which may set the value by an interpolation such as `views: ${...}`.
        """
        while True:
            found = [file.dist for file in self.chain if file.says(key, profile, stage)]
            if found or exact or "." not in key:
                return found
            key = key.rpartition(".")[0]

    def says(self, key: str, profile: str, stage: str) -> bool:
        """Return whether this file has a value at a dotted key, with or without profile, for the stage or for all."""
        parts = (self.values, self.changes(profile))
        return any(says(values, place) for values in parts for place in (key, f"stages.{stage}.{key}"))


def read_recipe(path: Path, registry: Registry, below: tuple[Path, ...] = ()) -> RecipeFile:
    """Read a recipe and everything it extends, the required plugins first.

    Args:
        below: files that led here, to detect circular `extends`.

    Raises:
        UserError: unreadable, a plugin is missing, or `extends` has no target; with file and line.
    """
    values = layers.read(path)
    wanted, profiles = values.pop("extends", None), values.pop("profiles", None)
    try:
        check_requirements([] if values.get("plugins") is None else values["plugins"], registry)
        checked = _profiles(profiles)
        parent = None
        if wanted is not None:
            trail = (*below, path.resolve())
            parent = read_recipe(_parent_path(path, wanted, registry, trail), registry, trail)
    except UserError as error:
        raise located(error, path, ("extends", "plugins", "profiles")) from error
    return RecipeFile(path, values, checked, parent, shipper(path, registry))


def located(error: UserError, path: Path, keys: Iterable[str]) -> UserError:
    """Return the error with `path:line` prepended if it starts with one of `keys`."""
    key = first_key(error)
    if not key.startswith(tuple(keys)):
        return error
    line = layers.line_of(path, layers.key_parts(key))
    return type(error)(f"{path}:{line}: {error}" if line else f"{path}: {error}")


def first_key(error: UserError) -> str:
    """Return the dotted key with which an error about a recipe starts."""
    return str(error).split(" ", 1)[0].rstrip(":.,")


def find_recipe(name: str, registry: Registry, prefer: str = "") -> Path:
    """Find a recipe: a path, or `<recipe>` or `<distribution>/<recipe>` among the recipes shipped by plugins.

    Args:
        prefer: distribution to prefer if several ship a recipe of that name.

    Raises:
        ConfigError: not found; the message names the nearest.
    """
    if name.endswith(SUFFIXES) or Path(name).is_file():
        return Path(name)
    shipped = shipped_recipes(registry)
    found = {key: path for key, path in shipped.items() if name in (key, key.partition("/")[2])}
    if (own := f"{prefer}/{name}") in found:
        return found[own]
    if len(set(found.values())) > 1:
        raise ConfigError(f"Recipe {name!r} is shipped twice. Write {' or '.join(found)}.")
    if not found:
        known = list(shipped) if "/" in name else [key.partition("/")[2] for key in shipped]
        hint = did_you_mean(name, known)
        raise ConfigError(f"There is no recipe {name!r}.{hint} Known: {', '.join(known) or 'none'}.")
    return next(iter(found.values()))


def says(values: Mapping[str, Any], key: str) -> bool:
    """Return whether nested values have a value at a dotted key; a string in place of a component is its `type`."""
    value: Any = values
    for part in key.split("."):
        if isinstance(value, str) and part == "type":
            return "${" not in value
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True


def shipper(path: Path, registry: Registry) -> str:
    """Return the distribution with a recipe folder that contains a file; empty: none."""
    folder = path.resolve().parent
    return next((dist for dist, shipped in registry.recipe_folders if shipped.resolve() == folder), "")


def shipped_recipes(registry: Registry) -> dict[str, Path]:
    """Return the recipes of all plugins by `<distribution>/<recipe>`."""
    return {
        f"{dist}/{path.stem}": path
        for dist, folder in registry.recipe_folders
        for path in sorted(folder.iterdir())
        if path.suffix in SUFFIXES
    }


def _parent_path(path: Path, wanted: object, registry: Registry, trail: tuple[Path, ...]) -> Path:
    """Return the file that `extends` refers to: a path relative to this file, or the name of a shipped recipe."""
    if not isinstance(wanted, str):
        raise ConfigError(f"extends: expected a recipe's name or a path relative to this file, got {wanted!r}.")
    try:
        by_name = not wanted.endswith(SUFFIXES)
        found = find_recipe(wanted, registry, shipper(path, registry)) if by_name else path.parent / wanted
    except ConfigError as error:
        raise ConfigError(f"extends: {error}") from error
    if not found.is_file():
        near = [p.name for p in sorted(found.parent.glob("*.yaml"))] if found.parent.is_dir() else []
        raise ConfigError(f"extends: there is no recipe {found}.{did_you_mean(found.name, near)}")
    if found.resolve() in trail:
        names = " -> ".join(item.name for item in (*trail, found))
        raise ConfigError(f"extends: {names} is circular.")
    return found


def _profiles(values: object) -> dict[str, Mapping[str, Any]]:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(f"profiles: expected a mapping from names to what they change, got {shown(values)}.")
    for name, changes in values.items():
        if changes is not None and not isinstance(changes, Mapping):
            raise ConfigError(f"profiles.{name}: expected a mapping of what it changes, got {shown(changes)}.")
        convert(tuple[str, ...], (changes or {}).get("plugins") or (), f"profiles.{name}.plugins")
    return {str(name): changes or {} for name, changes in values.items()}
