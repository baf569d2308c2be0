"""Tests that the recipes of composed scores train with the bundled prior: two steps, tiny, on the CPU."""

import signal
from pathlib import Path

import pytest
import torch

from bozzetto.config.loading import load_recipe
from bozzetto.engine.checkpoints import read_checkpoint
from bozzetto.engine.loop import Loop
from bozzetto.engine.pipeline import Interrupted, Pipeline
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


STAGE = "stages.coarse"
FEW = [
    f"{STAGE}.trainer.steps=4", "trainer.log_every=1", "trainer.image_every=0", "export.mesh=null", "export.turntable=null",
    f"{STAGE}.{VIEWS}.height=16", f"{STAGE}.{VIEWS}.width=16", f"{STAGE}.{VIEWS}.resolution_milestones=[]",
    "system.renderer.samples_per_ray=16",
]  # fmt: skip


def test_a_stopped_run_with_an_adapter_of_the_bundled_prior_resumes_bit_for_bit(registry, tmp_path, monkeypatch):
    recipe = load_recipe(FOLDER / "prolificdreamer.yaml", registry, [*FEW, f"output={tmp_path}"], "cpu")
    weights = {model: fetch(plan) for model, plan in plans_for(recipe, registry).items()}

    def pipeline(folder=None):
        folder = folder or RunFolder.create(recipe, ["test"], {})
        return Pipeline(registry, folder, weights, None, torch.device("cpu"), print)

    whole, broken, step_of = pipeline(), pipeline(), Loop.step
    whole.train(recipe, 0)

    def stopped(loop):
        if loop.done == 1:
            broken.stop.requested = signal.SIGTERM
        step_of(loop)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", stopped)
        with pytest.raises(Interrupted):
            broken.train(recipe, 0)
    pipeline(RunFolder.existing(broken.folder.path)).train(recipe, 0)
    first, second = (read_checkpoint(run.folder.checkpoint("coarse")) for run in (whole, broken))
    torch.testing.assert_close(first["state_dict"], second["state_dict"], rtol=0.0, atol=0.0)
    states = [[one["state"] for one in saved["optimizer_states"]] for saved in (first, second)]
    torch.testing.assert_close(*states, rtol=0.0, atol=0.0)
    adapter = {name: value for name, value in first["state_dict"].items() if name.startswith("guided.random.")}
    assert len(states[0]) == 2 and len(states[0][1]) == len(adapter)
    assert all(value.any() for name, value in adapter.items() if "lora_B" in name)
