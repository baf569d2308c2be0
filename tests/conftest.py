"""Fixtures of all tests: a tiny run with real components, a random Stable Diffusion of a few kilobytes, 16 pixels."""

import os
import signal
from pathlib import Path

import pytest
import torch
import yaml

from bozzetto.config import layers
from bozzetto.config.loading import load_recipe
from bozzetto.engine.build import build_system
from bozzetto.engine.pipeline import Pipeline
from bozzetto.engine.run_folder import RunFolder
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.testing.fakes import tiny_stable_diffusion, tiny_zero123

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a thread, and so has each process that its tests start: threads that wait for one another on cores
    # which other workers use make a step of small tensors up to fifty times slower.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(scope="session", autouse=True)
def signals_are_handled():
    """Restore the default handlers: a suite started in the background or by `nohup` ignores signals that tests send."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


TINY = {
    "summary": "a tiny run",
    "prompt": "a hamburger",
    "report": False,
    "system": {
        "geometry": {"type": "hash-grid", "levels": 2, "log2_table_size": 8, "finest_resolution": 16, "hidden_width": 8, "normal": "finite-difference"},
        "material": {"type": "plane-light-diffuse"},
        "background": {"type": "random-solid"},
        "renderer": {"type": "volume", "samples_per_ray": 16, "occupancy_resolution": 8},
        "prompt_processor": {"type": "view-dependent"},
        "tasks": {
            "random": {
                "views": {"type": "orbit", "height": 16, "width": 16, "eval_height": 16, "eval_width": 16},
                "guidance": {"type": "stable-diffusion", "cfg_scale": 5, "dtype": "float32"},
                "losses": {"sds": 1.0, "sparsity": 0.1},
            }
        },
    },
    "trainer": {"steps": 4, "log_every": 1, "image_every": 2, "image_views": 2, "checkpoint_every": 2},
    "export": {"mesh": {"resolution": 12, "texture_size": 32, "threshold": 1.0}, "turntable": {"frames": 4, "size": 16, "sides": 2}},
}  # fmt: skip


@pytest.fixture(scope="session")
def registry():
    return Registry.discover(installed_sources({}), strict=True)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def tiny_zero123_model(tmp_path_factory) -> Path:
    return tiny_zero123(tmp_path_factory.mktemp("zero123") / "model")


class TinyRun:
    """Factory of recipes, systems and pipelines in a folder of its own."""

    def __init__(self, folder: Path, registry: Registry, model: Path) -> None:
        self.folder, self.registry, self.model = folder, registry, model
        self.said: list[str] = []

    def recipe_file(self, changes=None) -> Path:
        path = self.folder / "tiny.yaml"
        with_model = layers.overlay(
            TINY,
            {
                "output": str(self.folder / "outputs"),
                "system": {"tasks": {"random": {"guidance": {"model": str(self.model)}}}},
            },
        )
        path.write_text(yaml.safe_dump(layers.overlay(with_model, changes or {}), sort_keys=False))
        return path

    def recipe(self, changes=None, overrides=()):
        return load_recipe(self.recipe_file(changes), self.registry, overrides)

    def system(self, recipe, stage=0):
        weights = {str(self.model): self.model}
        return build_system(
            recipe.stages[stage], recipe, self.registry, weights, torch.device("cpu"), None, self.said.append
        )

    def pipeline(self, recipe, folder=None):
        folder = folder or RunFolder.create(recipe, ["test"], {})
        return Pipeline(
            self.registry, folder, {str(self.model): self.model}, None, torch.device("cpu"), self.said.append
        )


@pytest.fixture
def tiny(tmp_path, registry, tiny_model):
    return TinyRun(tmp_path, registry, tiny_model)
