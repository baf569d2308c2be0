"""Tests that the score of the example package trains with every bundled prior, and imports public names only."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

from bozzetto.config import layers, yaml_text
from bozzetto.config.loading import load_recipe
from bozzetto.config.recipe_file import find_recipe
from bozzetto.engine.pipeline import Pipeline
from bozzetto.engine.run_folder import RunFolder
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.runs.start import plans_for
from bozzetto.weights.download import fetch

ROOT = Path(__file__).parents[2]
NAME = "bozzetto-averaged-score"
SOURCE = ROOT / "examples" / NAME / "src"
PAGE = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
TABLE = (ROOT / "docs" / "reference" / "public-api.md").read_text(encoding="utf-8")
SMALL = {"batch_size": 2, "height": 16, "width": 16, "eval_height": 16, "eval_width": 16, "resolution_milestones": []}
SHORT = {
    "trainer": {"steps": 2, "log_every": 1, "image_every": 0},
    "export": None,
    "system": {"renderer": {"samples_per_ray": 16}, "tasks": {"random": {"views": SMALL}}},
}


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Registry of this distribution and of the example, as if pip had installed it."""
    info = tmp_path / "site" / "bozzetto_averaged_score-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[bozzetto.plugins]\nmain = bozzetto_averaged_score.manifest\n")
    for path in (SOURCE, tmp_path / "site"):
        monkeypatch.syspath_prepend(path)
    before = set(sys.modules)
    yield Registry.discover([one for one in installed_sources({}) if one.dist in ("bozzetto", NAME)], strict=True)
    for name in set(sys.modules) - before:
        if name.startswith("bozzetto_averaged_score"):
            del sys.modules[name]


def photo_recipe():
    """The recipe on the page, at 16 pixels; its photo task, too."""
    (text,) = re.findall(r"```yaml photo\n(.*?)```", PAGE, re.DOTALL)
    small = {"height": 16, "width": 16, "resolution_milestones": []}
    return layers.overlay(yaml_text.parse(text, "page"), {"system": {"tasks": {"reference": {"views": small}}}})


def text_recipe():
    return {"extends": f"{NAME}/averaged-score", "prompt": "a hamburger"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "model"),
    [(text_recipe(), "bozzetto-mini"), (photo_recipe(), "bozzetto-mini-zero123")],
    ids=lambda v: str(v)[:24],
)
def test_it_trains_two_steps_with_every_bundled_prior(values, model, registry, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(layers.overlay(layers.overlay(values, SHORT), {"output": str(tmp_path / "out")})))
    recipe = load_recipe(find_recipe(str(path), registry), registry, [], "cpu")
    (task,) = (task for task in recipe.stages[0].tasks if task.score)
    assert task.score.entry.dist == NAME and task.guidance.model == model
    weights = {name: fetch(plan) for name, plan in plans_for(recipe, registry).items()}
    run = RunFolder.create(recipe, ["test"], {})
    Pipeline(registry, run, weights, None, torch.device("cpu"), print).train(recipe, 0)
    rows = (run.metrics / "main.csv").read_text().splitlines()
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    assert len(rows) == 3 and float(last["gradient_norm"]) > 0.0 and "random/score" in last


def test_there_is_no_other_bundled_prior():
    folders = {path.parent.name for path in (ROOT / "plugins/bozzetto_plugins/priors").glob("*/model_index.json")}
    assert folders == {"bozzetto-mini", "bozzetto-mini-zero123"}


def test_it_is_short_and_imports_public_names_only():
    public = re.findall(r"^\| `(bozzetto[\w.]*)` \|", TABLE, re.MULTILINE)
    for path in sorted(SOURCE.glob("*/*.py")):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 60
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                assert not [item.name for item in node.names if item.name.startswith("bozzetto")]
            elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith("bozzetto_averaged_score"):
                module = str(node.module)
                if module.partition(".")[0] != "bozzetto":
                    continue
                assert any(module == one or (one != "bozzetto" and module.startswith(f"{one}.")) for one in public), (
                    module
                )
                declared = importlib.import_module(module).__all__
                assert {item.name for item in node.names} <= set(declared), module
