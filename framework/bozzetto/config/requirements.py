"""Checks the required plugins of a recipe (`plugins:`) before its other keys are read."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import InvalidRequirement, Requirement

from bozzetto.config.binding import convert
from bozzetto.errors import ConfigError, PluginError
from bozzetto.registry.discovery import Registry
from bozzetto.registry.sources import canonical


def check_requirements(wanted: object, registry: Registry) -> None:
    """Check that every requirement such as `bozzetto-blocky>=1.2,<2` is an installed plugin that loads.

    Raises:
        ConfigError: an item is not a requirement.
        PluginError: it is not installed, has another version, failed to load, or is disabled.
    """
    for index, text in enumerate(convert(tuple[str, ...], wanted, "plugins")):
        _check(text, f"plugins[{index}]", registry)


def _check(text: str, where: str, registry: Registry) -> None:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ConfigError(f"{where}: {text!r} is not a requirement such as 'bozzetto-blocky>=1.2,<2'.") from error
    if requirement.marker is not None and not requirement.marker.evaluate():
        return
    try:
        have = version(requirement.name)
    except PackageNotFoundError:
        raise PluginError(f"{where}: {text!r} is not installed. Install it with: pip install '{text}'") from None
    if not requirement.specifier.contains(have, prereleases=True):
        raise PluginError(f"{where}: {text!r} is wanted, {have} is installed. Run: pip install '{text}'")
    name = canonical(requirement.name)
    for source, fault in registry.broken.items():
        if source.dist == name:
            raise PluginError(f"{where}: {name} {have} failed to load: {type(fault).__name__}: {fault}")
    if name not in {source.dist for source in registry.heavy}:
        raise PluginError(
            f"{where}: {name} {have} is installed and offers no plugin here. Is it named in BOZZETTO_DISABLE?"
        )
