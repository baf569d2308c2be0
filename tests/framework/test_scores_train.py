"""Tests that the recipes of composed scores train with the bundled prior: two steps, tiny, on the CPU."""

from pathlib import Path

import pytest
import torch

from bozzetto.config.loading import load_recipe
from bozzetto.engine.pipeline import Pipeline
from bozzetto.engine.run_folder import RunFolder
from bozzetto.runs.start import plans_for
from bozzetto.weights.download import fetch

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "configs"
VIEWS = "system.tasks.random.views"
SMALL = [
    "trainer.steps=2", "trainer.log_every=1", "trainer.image_every=0", "export.mesh=null", "export.turntable=null",
    f"{VIEWS}.height=16", f"{VIEWS}.width=16", f"{VIEWS}.batch_size=2", f"{VIEWS}.resolution_milestones=[]",
    f"{VIEWS}.eval_height=16", f"{VIEWS}.eval_width=16", "system.renderer.samples_per_ray=16",
]  # fmt: skip
RECIPES = sorted(
    path.stem
    for path in FOLDER.glob("*.yaml")
    if path.stem == "sds" or ("extends: sds" in path.read_text() and "stages:" not in path.read_text())
)


def trained(name, registry, tmp_path, changes=()):
    """Return the rows of metrics, and the trained parameters of the geometry."""
    recipe = load_recipe(FOLDER / f"{name}.yaml", registry, [*SMALL, *changes, f"output={tmp_path}"], "cpu")
    weights = {model: fetch(plan) for model, plan in plans_for(recipe, registry).items()}
    assert list(weights) == ["bozzetto-mini"]
    run = RunFolder.create(recipe, ["test"], {})
    pipeline = Pipeline(registry, run, weights, None, torch.device("cpu"), print)
    pipeline.train(recipe, 0)
    rows = (run.metrics / "main.csv").read_text().splitlines()
    return [dict(zip(rows[0].split(","), row.split(","), strict=True)) for row in rows[1:]]


@pytest.mark.parametrize("name", RECIPES)
def test_it_trains_two_steps(registry, tmp_path, name):
    rows = trained(name, registry, tmp_path)
    assert len(rows) == 2 and float(rows[-1]["gradient_norm"]) > 0.0  # DreamTime begins with nothing but noise
    assert all("random/score" in row for row in rows)


def test_sds_is_the_run_of_its_parent(registry, tmp_path):
    """Same losses and gradients to the last printed digit, whether the score or the guidance makes them."""
    composed, own = trained("sds", registry, tmp_path / "a"), trained("dreamfusion-sd", registry, tmp_path / "b")
    for one, other in zip(composed, own, strict=True):
        assert one["random/score"] == other["random/sds"]
        assert one["gradient_norm"] == other["gradient_norm"]
