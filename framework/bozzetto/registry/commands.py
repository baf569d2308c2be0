"""Finds the commands that packages declare. Imports a declaration when it is listed, its module when it is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType

from bozzetto.errors import PluginError, did_you_mean, shown
from bozzetto.registry.containment import LIMIT_S, quietly
from bozzetto.registry.discovery import heavy_since
from bozzetto.registry.sources import Source, canonical, fault_of, import_limit_s, import_source, installed_sources
from bozzetto.spec import CommandSpec, is_kebab

GROUP = "bozzetto.commands"
"""Entry-point group of commands."""
VARIABLE = "BOZZETTO_COMMANDS"
"""Environment variable with further commands: `name=module:SPEC`, comma-separated."""
HOST = ("run", "check", "export", "plugins", "schema", "doctor")
"""Names of the host's own commands, which no package can take."""
OWN = "bozzetto"
"""Distribution of the host, which has commands of packages, too."""
FUNCTIONS = ("add_arguments", "run")
"""Functions of a command's module."""


@dataclass(frozen=True)
class ListedCommand:
    """Command of a package, as it is listed."""

    source: Source
    called: str
    """Name by which it is called: its own, or `distribution/name` if several packages declare that."""
    summary: str
    """Summary; empty if the declaration cannot be read."""
    status: str
    """`ok`, `refused: ...`, `broken: ...` or `slow: ...`; slow ones can be used."""

    @property
    def usable(self) -> bool:
        """Whether the command can be called."""
        return self.status == "ok" or self.status.startswith("slow")


@dataclass(frozen=True)
class PackageCommands:
    """Commands that packages declare. Nothing of a package is imported before its command is listed or used."""

    sources: tuple[Source, ...]
    limit_s: float = LIMIT_S
    """Time limit in seconds for importing a declaration."""

    @classmethod
    def installed(cls, environment: Mapping[str, str]) -> PackageCommands:
        """Return the installed commands and those in `BOZZETTO_COMMANDS`, without those in `BOZZETTO_DISABLE`.

        Raises:
            PluginError: `BOZZETTO_PLUGIN_SECONDS` is not a valid number of seconds.
        """
        return cls(tuple(installed_sources(environment, GROUP, VARIABLE)), import_limit_s(environment))

    def of(self, distributions: Iterable[str]) -> PackageCommands:
        """Return only the commands of these distributions."""
        chosen = {canonical(name) for name in distributions}
        return PackageCommands(tuple(source for source in self.sources if source.dist in chosen), self.limit_s)

    def called(self, source: Source) -> str:
        """Return the name by which a command is called: its own if it is the only one of this name."""
        alone = sum(other.name == source.name for other in self.sources) == 1 and source.name not in HOST
        return source.name if alone else f"{source.dist}/{source.name}"

    def find(self, name: str) -> Source:
        """Return the only command of a name, or of `distribution/name`.

        Raises:
            PluginError: unknown (with the nearest name), declared twice, or named like a command of the host.
        """
        dist, _, bare = name.rpartition("/")
        chosen = self.of([dist]) if dist else self
        found = [source for source in chosen.sources if source.name == bare]
        if not found:
            known = [*HOST, *(self.called(source) for source in self.sources if not _refusal(source))]
            near = did_you_mean(name, known)
            whole = any(source.dist == OWN for source in self.sources)
            cure = (
                "" if whole else " Those of bozzetto itself are missing: run 'pip install -e .' in the project folder."
            )
            raise PluginError(f"There is no command {shown(name)}.{near} Commands: {', '.join(known)}.{cure}")
        if len(found) == 1:
            if refused := _refusal(found[0]):
                raise PluginError(f"{title(found[0])} is {refused}. Tell the authors of {found[0].dist}.")
            return found[0]
        if len({source.dist for source in found}) == 1:
            raise PluginError(f"{found[0].dist} declares the command {bare!r} twice. Reinstall it.")
        who = ", ".join(f"{source.dist} {source.version}" for source in found)
        fix = " or ".join(f"'bozzetto {source.dist}/{bare}'" for source in found)
        raise PluginError(f"The command {bare!r} is provided by {who}. Write {fix}.")

    def declaration(self, source: Source) -> CommandSpec:
        """Import the declaration of a command.

        Raises:
            PluginError: it cannot be imported in time, or is no `CommandSpec`.
        """
        spec, why, fault = self._read(source)
        if spec is None:
            raise _broken(source, why) from fault
        return spec

    def _read(self, source: Source) -> tuple[CommandSpec | None, str, BaseException | None]:
        """Return the declaration; or None, why there is none, and the exception that it raised, if any."""
        outcome = quietly(lambda: import_source(source), source.key, self.limit_s)
        if outcome.fault is not None:
            return None, _not_imported(source.module, outcome.fault), outcome.fault
        if not isinstance(outcome.value, CommandSpec):
            return None, f"{source.module} is not a CommandSpec", None
        return outcome.value, "", None

    def load(self, source: Source) -> ModuleType:
        """Import the module of a command, a `bozzetto.commands.Command`; without a time limit, since it was asked for.

        Raises:
            PluginError: it cannot be imported, or lacks a function.
        """
        name = self.declaration(source).module
        outcome = quietly(lambda: importlib.import_module(name), source.key)
        if outcome.fault is not None:
            raise _broken(source, _not_imported(name, outcome.fault)) from outcome.fault
        for function in FUNCTIONS:
            if not callable(getattr(outcome.value, function, None)):
                raise _broken(source, f"{name} has no function {function}")
        return outcome.unwrap()

    def listed(self) -> list[ListedCommand]:
        """Return every command with its summary and status; imports the declarations, and no module of a command."""
        return [self._listed(source) for source in sorted(self.sources, key=lambda one: (one.name, one.dist))]

    def _listed(self, source: Source) -> ListedCommand:
        if refused := _refusal(source):
            return ListedCommand(source, self.called(source), "", refused)
        before = set(sys.modules)
        spec, why, _ = self._read(source)
        if spec is None:
            return ListedCommand(source, self.called(source), "", f"broken: {' '.join(why.split())}")
        heavy = heavy_since(before)
        faults = [fault for function in FUNCTIONS if (fault := fault_of(f"{spec.module}:{function}"))]
        status = f"broken: {faults[0]}" if faults else f"slow: imports {', '.join(heavy)}" if heavy else "ok"
        return ListedCommand(source, self.called(source), spec.summary, status)

    def faults(self) -> list[str]:
        """Return a line for every command that cannot be used."""
        return [f"{title(one.source)} is {one.status}." for one in self.listed() if not one.usable]


def title(source: Source) -> str:
    """Return `The command 'faces' of bozzetto-faces 1.0`."""
    return f"The command {source.name!r} of {source.dist} {source.version}"


def _refusal(source: Source) -> str:
    """Return why a command cannot have its name; empty if it can."""
    if source.name in HOST:
        return f"refused: 'bozzetto {source.name}' is a command of the host"
    return "" if is_kebab(source.name) else "refused: the name of a command is in kebab-case"


def _not_imported(path: str, fault: BaseException) -> str:
    return f"{path} cannot be imported: {type(fault).__name__}: {fault}"


def _broken(source: Source, why: str) -> PluginError:
    return PluginError(f"{title(source)} is broken: {why}. Tell the authors of {source.dist}.")
