"""Source files of the cases: tiny models, small recipes with all fields written out, run folders, a photo, a mesh."""

from __future__ import annotations

import dataclasses
import os
import shutil
import traceback
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from fuzz.case import Command, Interruption
from fuzz.child import CALLS, ERR, PROJECT, WORK, become_command

STEPS = 3
LONG_STEPS = 8
"""Number of steps of the run that is interrupted."""
EXPORTS: dict[str, dict[str, Any]] = {
    "mesh": {"threshold": 1.0, "resolution": 24, "texture_size": 64},
    "turntable": {"frames": 4, "size": 16, "sides": 2},
}
"""Small exports; after a few steps an automatic threshold finds no surface."""
CONFIGS = PROJECT / "configs"
PHOTO = CONFIGS / "photos" / "hamburger.png"


@dataclass(frozen=True)
class Stock:
    """Files that all cases may read and none may change."""

    folder: Path

    @property
    def text_model(self) -> Path:
        """Random Stable Diffusion model of some kilobytes."""
        return self.folder / "models" / "text"

    @property
    def posed_model(self) -> Path:
        """Random Zero123 model of some kilobytes."""
        return self.folder / "models" / "posed"

    @property
    def finished(self) -> Path:
        """Run folder with finished training and export."""
        return self.folder / "finished"

    @property
    def unbroken(self) -> Path:
        """Run folder of `long_recipe` that was never interrupted."""
        return self.folder / "unbroken"

    @property
    def long_recipe(self) -> Path:
        """Recipe of a run with checkpoints, images and an export."""
        return self.folder / "long.yaml"

    @cached_property
    def calls(self) -> tuple[int, int, int]:
        """Number of calls of the uninterrupted run, and the calls at which its first and last training step began."""
        total, first, last = map(int, (self.folder / WORK / CALLS).read_text(encoding="utf-8").split())
        return total, first, last

    @cached_property
    def recipes(self) -> dict[str, dict[str, Any]]:
        """All shipped recipes, reduced to small sizes, with all fields of all components written out."""
        found = sorted((self.folder / "recipes").glob("*.yaml"))
        return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in found}

    @cached_property
    def fields(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Default fields of every component, by kind and name; empty if a field has no default."""
        return yaml.safe_load((self.folder / "fields.yaml").read_text(encoding="utf-8"))

    def build(self) -> None:
        """Write all files, in separate processes, because this one must not start threads before it forks.

        Raises:
            RuntimeError: the program fails on an undamaged run.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        _in_a_process(self._write_models_and_recipes)
        self._run(self.folder / "recipes" / "dreamfusion-sd.yaml", self.finished, STEPS)
        self._run(self.long_recipe, self.unbroken, LONG_STEPS)

    def _run(self, recipe: Path, result: Path, steps: int) -> None:
        """Execute an undamaged run without caches, and count its calls."""
        shutil.rmtree(self.folder / WORK, ignore_errors=True)
        (self.folder / WORK).mkdir()
        shutil.copy(recipe, self.folder / WORK / "recipe.yaml")
        never = Interruption(signal=0, call=-1)
        command = Command(("run", "--config", "recipe.yaml"), most_steps=steps, interruption=never)
        pid = os.fork()
        if pid == 0:
            become_command(command, self.folder, self.folder, reads_checked=False)
        _, status = os.waitpid(pid, 0)
        if status:
            raise RuntimeError((self.folder / ERR).read_text(encoding="utf-8", errors="replace"))
        next((self.folder / WORK).glob("outputs/*/*")).rename(result)

    def _write_models_and_recipes(self) -> None:
        import torch

        from bozzetto.config.loading import load_recipe
        from bozzetto.registry.discovery import Registry, installed_sources
        from bozzetto.testing.fakes import tiny_stable_diffusion, tiny_zero123
        from bozzetto.testing.run import small

        torch.set_num_threads(1)
        tiny_stable_diffusion(self.text_model)
        tiny_zero123(self.posed_model)
        registry = Registry.discover(installed_sources({}))
        models = {"": self.text_model, "zero123": self.posed_model}
        (self.folder / "recipes").mkdir()
        for path in sorted(CONFIGS.glob("*.yaml")):
            profile = "cuda" if path.stem == "latent-nerf" else "cpu"  # the model has the latents of Stable Diffusion
            values = written_out(small(load_recipe(path, registry, profile=profile), models, Path("outputs")))
            text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
            (self.folder / "recipes" / path.name).write_text(text, encoding="utf-8")
        values = yaml.safe_load((self.folder / "recipes" / "dreamfusion-sd.yaml").read_text(encoding="utf-8"))
        values["trainer"] |= {"steps": LONG_STEPS, "checkpoint_every": 3, "image_every": 4, "image_views": 1}
        self.long_recipe.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        (self.folder / "fields.yaml").write_text(yaml.safe_dump(_fields(registry)), encoding="utf-8")


def written_out(recipe: Any) -> dict[str, Any]:
    """Return the plain values of a recipe, with every field of every component, for a run of `STEPS` steps."""
    from bozzetto.config.binding import plain

    values: dict[str, Any] = {"summary": recipe.summary, "seed": recipe.seed, "device": "cpu", "output": "outputs"}
    values |= {"prompt": recipe.prompt} if recipe.prompt else {}
    values |= {"negative_prompt": recipe.negative_prompt}
    values |= {"image": recipe.image} if recipe.image else {}
    stages = {stage.name: _stage(stage) for stage in recipe.stages}
    values |= stages["main"] if list(stages) == ["main"] else {"stages": stages}
    values["export"] = {name: _component(item, plain) for name, item in recipe.exports}
    for name, changes in EXPORTS.items():
        values["export"].get(name, {}).update(changes)
    return values


def _stage(stage: Any) -> dict[str, Any]:
    from bozzetto.config.binding import plain

    parts = ("geometry", "material", "background", "renderer", "prompt_processor")
    system = {part: _component(getattr(stage, part), plain) for part in parts}
    system["tasks"] = {task.name: _task(task) for task in stage.tasks}
    system["optimizer"] = plain(stage.optimizer)
    trainer = dataclasses.replace(stage.trainer, steps=STEPS, image_every=0, log_every=1, checkpoint_every=2)
    return {"system": system, "trainer": plain(trainer)} | ({"inherit": list(stage.inherit)} if stage.inherit else {})


def _task(task: Any) -> dict[str, Any]:
    from bozzetto.config.binding import plain

    values: dict[str, Any] = {"views": _component(task.views, plain), **plain(task.times)}
    if task.guidance is not None:
        values["guidance"] = _component(task.guidance, plain)
    if task.score is not None:
        values["score"] = _component(task.score, plain)
        for name in task.guidance.config.replaced_by_score:  # a score refuses them, also at their defaults
            del values["guidance"][name]
    values["losses"] = {
        term.name: {"weight": plain(term.weight), **plain(term.component.config)}
        if term.component
        else plain(term.weight)
        for term in task.terms
    }
    return values


def _component(component: Any, plain: Any) -> dict[str, Any]:
    return {"type": component.name, **plain(component.config)}


def _fields(registry: Any) -> dict[str, dict[str, dict[str, Any]]]:
    from bozzetto.config.binding import plain
    from bozzetto.kinds import KINDS

    found: dict[str, dict[str, dict[str, Any]]] = {}
    for kind in KINDS:
        for name in registry.names(kind):
            try:
                values = plain(registry.config_type(kind, name)())
            except TypeError:  # a field has no default
                values = {}
            found.setdefault(kind, {})[name] = values
    return found


def _in_a_process(work: Any) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("the files that cases are made from cannot be written")
