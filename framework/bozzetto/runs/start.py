"""Start, resume and export runs; shared by the command line and the Python interface. No torch until a run begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bozzetto.config.loading import find_recipe, load_recipe
from bozzetto.config.photo_checks import require_reader
from bozzetto.engine.changes import Changes
from bozzetto.engine.run_folder import RunFolder
from bozzetto.engine.run_lock import locked
from bozzetto.engine.stopping import StopSignals
from bozzetto.errors import ConfigError, UserError
from bozzetto.files import sha256_of
from bozzetto.machine import accelerators as hardware
from bozzetto.machine.capacity import check_machine, check_output, files_named
from bozzetto.machine.trainers import check_trainer
from bozzetto.machine.tuning import growing, tune_allocator
from bozzetto.model_files import ModelJudge
from bozzetto.recipe import Component, Recipe
from bozzetto.registry.discovery import Registry
from bozzetto.runs.amendments import State, load_amended
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import fetch
from bozzetto.weights.plans import ModelPlan, further_models, judge_of_further, plan

if TYPE_CHECKING:
    from bozzetto.engine.pipeline import Pipeline

Report = Callable[[str], None]
"""Receives one line for the user."""


@dataclass(frozen=True)
class Prepared:
    """A recipe that is ready to run, and the sources of its models."""

    recipe: Recipe
    plans: Mapping[str, ModelPlan]
    """By the name that the recipe gives a model."""
    file: Path | None = None
    """YAML file of the recipe; None: that of an existing run folder."""


def prepare(
    config: str, registry: Registry, overrides: Sequence[str], profile: str, found: hardware.Accelerator
) -> Prepared:
    """Load a recipe and check all that can be checked without torch.

    Args:
        config: path of a YAML file, or name of a recipe that a plugin ships.
        overrides: `key=value` each.

    Raises:
        UserError: the recipe cannot run here; the message says why.
    """
    file = find_recipe(config, registry)
    recipe = load_recipe(file, registry, overrides, profile, found)
    require_photo(recipe)
    check_machine(recipe)
    for stage in recipe.stages:
        check_trainer(recipe, stage, found)
    check_output(recipe)
    return Prepared(recipe, plans_for(recipe, registry), file.absolute())


def prepare_to_resume(
    folder: RunFolder, registry: Registry, overrides: Sequence[str], from_stage: str | None, found: hardware.Accelerator
) -> tuple[Prepared, tuple[str, ...]]:
    """Amend the recipe of an existing run, whose folder is locked, and check all that can be checked without torch.

    Args:
        from_stage: the stage from which on all is trained again, if any.

    Returns:
        The recipe with its models, and notices for the user.

    Raises:
        UserError: an override cannot act any more, or the recipe cannot run here.
    """
    amended = load_amended(folder, registry, overrides, found)
    told = (*amended.require_resumable(from_stage), *amended.recipe.notices)
    Changes(folder).require_free(amended.kept, overrides)
    states = amended.states(from_stage)
    if set(states.values()) != {"finished"}:
        require_photo(amended.recipe)
    check_machine(amended.recipe, reads=lambda stage, part: still_read(states[stage.name], part))
    for stage in amended.recipe.stages:
        if states[stage.name] != "finished":
            check_trainer(amended.recipe, stage, found)
    return Prepared(amended.recipe, plans_for(amended.recipe, registry)), told


def offline() -> bool:
    """Return whether downloads are disabled by `HF_HUB_OFFLINE`, parsed as the hub's own tools do."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def plans_for(recipe: Recipe, registry: Registry) -> dict[str, ModelPlan]:
    """Return the source of each model of a recipe, by the name used in the recipe."""
    found, catalogue = {}, Catalogue.of(registry)
    for part in weighty(recipe):
        instead = getattr(part.config, "without_model", "")
        reader = part.config if isinstance(part.config, ModelJudge) else None
        with located(part):
            found[part.model] = plan(part.model, catalogue, offline(), instead, reader)
            for name in further_models(part):
                judge = judge_of_further(part, found[part.model].folder)
                found[name] = plan(name, catalogue, offline(), instead, judge)
        require_weights(part, {name: item.folder for name, item in found.items()})
    require_scenes(recipe, {name: item.folder for name, item in found.items()})
    return found


def weighty(recipe: Recipe) -> list[Component]:
    """Return the guidances and prompt processors of a recipe that require weights."""
    guidances = [task.guidance for stage in recipe.stages for task in stage.tasks]
    every = [*guidances, *(stage.prompt_processor for stage in recipe.stages)]
    return [part for part in every if part is not None and part.has_model]


def require_scenes(recipe: Recipe, folders: Mapping[str, Path | None]) -> None:
    """Let each guidance whose weights are on this machine check the scene; raises `UserError` if it cannot judge it."""
    for stage in recipe.stages:
        for guidance in (task.guidance for task in stage.tasks):
            check = getattr(guidance.config, "require_scene", None) if guidance is not None else None
            if guidance is None or check is None or (folder := folders.get(guidance.model)) is None:
                continue
            try:
                check(folder, stage)
            except UserError as error:
                raise type(error)(f"{guidance.where}.{error}") from error


def require_weights(part: Component, folders: Mapping[str, Path | None]) -> None:
    """Let a component check its weights if they are on this machine; raises `UserError` if it cannot use them.

    Args:
        folders: of the models, by name.
    """
    folder = folders[part.model]
    further = {name: there for name in further_models(part) if (there := folders[name]) is not None}
    with located(part):
        if (check := getattr(part.config, "require_weights", None)) is not None and folder is not None:
            check(folder)
        if further and folder is not None:
            part.config.require_further_weights(folder, further)


@contextmanager
def located(part: Component) -> Iterator[None]:
    """Put the place of a component in the recipe before errors that name its field `model`."""
    try:
        yield
    except UserError as error:
        if not str(error).startswith(f"{part.where}.") and str(error).partition(":")[0] in vars(part.config):
            raise type(error)(f"{part.where}.{error}") from error
        raise


def files_of(part: Component) -> list[str]:
    """Return the files that a component reads beside its model, e.g. LoRAs."""
    paths = [path for path, marker in files_named(part.config) if path and not marker.or_name and not marker.beside]
    return [str(Path(path).expanduser()) for path in paths]


def require_photo(recipe: Recipe) -> None:
    """Raise `ConfigError` if the recipe's photo is unused or does not exist; its content is checked on reading."""
    require_reader(recipe)
    if recipe.image and not Path(recipe.image).is_file():
        raise ConfigError(f"image: there is no file {recipe.image}. Give a photo of what to make: image=photo.png.")


def cache_folder() -> Path:
    """Return the folder in which text embeddings are cached between runs."""
    root = os.environ.get("BOZZETTO_CACHE") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "bozzetto" / "text-embeddings"


def still_read(state: State, component: Component) -> bool:
    """Return whether a part reads its files on resume; the checkpoint already holds what a geometry has read."""
    return state == "fresh" or (state == "begun" and component.kind != "geometry")


def import_heavy(stop: StopSignals) -> None:
    """Import torch and its dependents. Signals are deferred, since an interrupted import aborts the process."""
    with growing(), stop.deferred():
        import bozzetto.engine.pipeline  # noqa: F401
    stop.answer()


def open_device(recipe: Recipe, found: hardware.Accelerator) -> str:
    """Return the torch device of a run.

    Raises:
        ConfigError: the recipe names a device that torch cannot use.
    """
    return hardware.torch_device(recipe.device, recipe.profile, found)


@contextmanager
def opened(
    prepared: Prepared, registry: Registry, command: Sequence[str], report: Report, stop: StopSignals,
    folder: RunFolder | None = None,
) -> Iterator[Pipeline]:  # fmt: skip
    """Yield the pipeline of a run in a new folder, which is locked meanwhile, or in `folder`, locked by the caller.

    Imports torch and fetches weights first, so that nothing is written before the run can start.

    Args:
        command: recorded in the manifest.
    """
    import_heavy(stop)
    import torch

    from bozzetto.engine.pipeline import Pipeline

    tune_allocator()
    recipe, device = prepared.recipe, torch.device(open_device(prepared.recipe, hardware.detect()))
    hardware.select(str(device))
    weights = fetched(prepared)
    require_scenes(recipe, weights)
    with ExitStack() as held:
        if folder is not None:
            folder.record_resumed(recipe, command)
        else:
            facts = {name: prepared.plans[name].facts(path) for name, path in weights.items()}
            for part in weighty(recipe):
                facts[part.model] |= {f"file {path}": sha256_of(Path(path)) for path in files_of(part)}
            folder = RunFolder.create(recipe, command, facts)
            folder.record({"plugins": recipe.distributions, "recipe_file": str(prepared.file)})
            held.enter_context(locked(folder.path, report))
        folder = RunFolder(short(folder.path))
        report = kept(report, folder)
        report(f"run       {folder.path}")
        report(f"pictures  {folder.images}")
        torch.manual_seed(recipe.seed)
        try:
            yield Pipeline(registry, folder, weights, cache_folder(), device, report, stop)
        except Exception as error:
            error.add_note(f"The run is kept in {folder.path}")
            raise


def fetched(prepared: Prepared) -> dict[str, Path]:
    """Download or convert the models of a recipe as needed, and return their folders by name."""
    weights: dict[str, Path] = {}
    for part in weighty(prepared.recipe):
        with located(part):
            if part.model not in weights:
                weights[part.model] = fetch(prepared.plans[part.model])
            judge = judge_of_further(part, weights[part.model])
            for name in further_models(part):
                if name not in weights:
                    weights[name] = fetch(replace(prepared.plans[name], reader=judge))
        require_weights(part, weights)
    return weights


def kept(report: Report, folder: RunFolder) -> Report:
    """Return `report`, with each of its lines kept in the log of the run, too."""

    def tell(line: str) -> None:
        report(line)
        folder.keep_line(line)

    return tell


def short(path: Path) -> Path:
    """Return the path relative to the working folder if it is below it."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, FileNotFoundError):
        return path
