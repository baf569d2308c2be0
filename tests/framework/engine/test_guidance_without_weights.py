"""Tests of a guidance whose config has no field `model`: no weights, from the check of a recipe to a training step."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass

import pytest
import torch

from bozzetto import ComponentSpec, hookimpl
from bozzetto.cli.report import header, plan_report
from bozzetto.recipe import Component
from bozzetto.registry.discovery import Registry, Source, installed_sources
from bozzetto.runs.start import plans_for
from bozzetto.testing.fakes import FakeTextEncoder
from bozzetto.types import Guided

HERE = "bozzetto_tests_bright"


@dataclass(frozen=True)
class BrightConfig:
    """Options of `bright`: none, and no `model`."""


class Bright(FakeTextEncoder):
    """Guidance toward bright images."""

    def __init__(self, config: BrightConfig, model_folder: None, device: torch.device) -> None:
        super().__init__()
        self.config, self.model_folder, self.device = config, model_folder, device

    def needs_normal(self, step: int) -> bool:
        return False

    def __call__(self, rendered, condition, cameras, step, generator) -> Guided:
        darkness = (1.0 - rendered.image).mean()
        return Guided(losses={"darkness": darkness}, timestep=torch.zeros(len(cameras), dtype=torch.long))


@pytest.fixture
def with_bright(tiny, monkeypatch):
    """Return the tiny run with a plugin that provides `bright`, and its recipe."""
    spec = ComponentSpec(
        "guidance", "bright", f"{HERE}:Bright", f"{HERE}:BrightConfig", "Bright.", provides=frozenset({"darkness"})
    )
    module = types.ModuleType(HERE)
    module.Bright, module.BrightConfig = Bright, BrightConfig

    @hookimpl
    def bozzetto_components():
        return [spec]

    module.bozzetto_components = bozzetto_components
    monkeypatch.setitem(sys.modules, HERE, module)
    tiny.registry = Registry.discover([*installed_sources({}), Source("bright", "1.0", "main", HERE)], strict=True)
    losses = {"sds": None, "sparsity": None, "darkness": 1.0}
    guidance = {"type": "bright"}
    return tiny, tiny.recipe({"system": {"tasks": {"random": {"guidance": guidance, "losses": losses}}}})


def test_there_is_nothing_to_download_and_nothing_to_choose(with_bright):
    tiny, recipe = with_bright
    guidance = recipe.stages[0].tasks[0].guidance
    assert isinstance(guidance, Component) and not guidance.has_model and guidance.model == ""
    assert plans_for(recipe, tiny.registry) == {}
    assert not [line for line in header(recipe, {}, "tiny.yaml") if line.startswith("weights")]
    assert "guidance        bright (bright 1.0)" in plan_report(recipe, {})


def test_it_is_made_without_a_folder_and_trains(with_bright):
    tiny, recipe = with_bright
    (task,) = tiny.system(recipe).tasks
    assert isinstance(task.guidance, Bright) and task.guidance.model_folder is None
    pipeline = tiny.pipeline(recipe)
    pipeline.train(recipe, 0)
    rows = (pipeline.folder.metrics / "main.csv").read_text().splitlines()
    assert {"random/darkness", "gradient_norm"} <= set(rows[0].split(","))
    column = rows[0].split(",").index("gradient_norm")
    assert len(rows) > 1 and all(float(row.split(",")[column]) > 0.0 for row in rows[1:])
