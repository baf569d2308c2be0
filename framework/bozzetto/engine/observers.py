"""Notifies plugins of events in a run with numbers, names and paths, never tensors. Observers cannot affect the run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pluggy

from bozzetto.engine.system import System
from bozzetto.recipe import Recipe, TrainerConfig
from bozzetto.registry.containment import contained


class Observers:
    """Calls the observer hooks of every plugin independently.

    An exception, even `SystemExit` or `KeyboardInterrupt`, is reported once per hook and plugin; the other observers
    and the run continue. An actual Ctrl-C stops the run. There is no time limit, since an observer may have much to do.

    Args:
        report: prints one line for the user.
    """

    def __init__(self, manager: pluggy.PluginManager, report: Callable[[str], None]) -> None:
        self.manager, self.report = manager, report
        self.reported: set[tuple[str, str]] = set()
        """Hook and plugin of every reported failure."""

    def run_started(self, recipe: Recipe, run_folder: Path) -> None:
        """Call `bozzetto_run_started`."""
        self._tell("bozzetto_run_started", {"recipe": recipe, "run_folder": run_folder})

    def step_finished(self, step: int, losses: Mapping[str, float]) -> None:
        """Call `bozzetto_step_finished`."""
        self._tell("bozzetto_step_finished", {"step": step, "losses": losses})

    def stage_finished(self, stage: str, steps: int, run_folder: Path) -> None:
        """Call `bozzetto_stage_finished`."""
        self._tell("bozzetto_stage_finished", {"stage": stage, "steps": steps, "run_folder": run_folder})

    def run_finished(self, recipe: Recipe, run_folder: Path) -> list[Path]:
        """Call `bozzetto_run_finished`, and return the files that the observers have written."""
        return self._tell("bozzetto_run_finished", {"recipe": recipe, "run_folder": run_folder})

    def run_failed(self, reason: str, recipe: Recipe, run_folder: Path) -> None:
        """Call `bozzetto_run_failed`, and report the files that the observers have written."""
        facts = {"reason": reason, "recipe": recipe, "run_folder": run_folder}
        for path in self._tell("bozzetto_run_failed", facts):
            self.report(f"wrote     {path}")

    def _tell(self, hook: str, facts: Mapping[str, Any]) -> list[Path]:
        """Call a hook of every plugin, and return the files that they have written."""
        files: list[Path] = []
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            own = {name: dict(value) if isinstance(value, Mapping) else value for name, value in facts.items()}
            arguments = [own[name] for name in implementation.argnames]
            call = functools.partial(implementation.function, *arguments)
            outcome = contained(functools.partial(_files, call), implementation.plugin_name)
            if outcome.fault is not None:
                self._report(hook, implementation.plugin_name, outcome.fault)
            files += outcome.value or []
        return files

    def _report(self, hook: str, plugin: str, error: BaseException) -> None:
        if (hook, plugin) in self.reported:
            return
        self.reported.add((hook, plugin))
        why = f"{type(error).__name__}: {error}"
        self.report(f"notice    the observer {plugin} failed in {hook}, the run goes on: {why}")


def _files(call: Callable[[], object]) -> list[Path]:
    """Call an observer, and return the existing files among what it returns, which is of no interest otherwise."""
    returned = call()
    given = returned if isinstance(returned, Iterable) and not isinstance(returned, str) else ()
    return [path for path in given if isinstance(path, Path) and path.is_file()]


def reason_of(error: BaseException) -> str:
    """Return an error as one line, with its type."""
    first = str(error).split("\n", 1)[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


class Observed:
    """Tells the observers every `log_every`-th step and the last."""

    def __init__(self, observers: Observers, config: TrainerConfig) -> None:
        self.observers, self.config = observers, config

    def after_step(self, done: int, system: System) -> None:
        """Call `bozzetto_step_finished` if it is time."""
        if done % self.config.log_every == 0 or done == self.config.steps:
            self.observers.step_finished(done, system.metrics)

    def close(self) -> None:
        """Do nothing: observers live as long as the run."""
