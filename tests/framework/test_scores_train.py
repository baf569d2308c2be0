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
from bozzetto_plugins.exporter.read_back import read_mesh

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
    recipe, pipeline = begun(name, registry, tmp_path, [*SMALL, *changes])
    pipeline.train(recipe, 0)
    return rows_of(pipeline.folder, "main")


def begun(name, registry, tmp_path, changes):
    """Return a shipped recipe with changes, and a new run of it with the bundled prior."""
    recipe = load_recipe(FOLDER / f"{name}.yaml", registry, [*changes, f"output={tmp_path}"], "cpu")
    weights = {model: fetch(plan) for model, plan in plans_for(recipe, registry).items()}
    assert list(weights) == ["bozzetto-mini"]
    folder = RunFolder.create(recipe, ["test"], {})
    return recipe, Pipeline(registry, folder, weights, None, torch.device("cpu"), print)


def rows_of(folder, stage):
    rows = (folder.metrics / f"{stage}.csv").read_text().splitlines()
    return [dict(zip(rows[0].split(","), row.split(","), strict=True)) for row in rows[1:]]


def tiny_stages(side, **steps):
    """Return changes of a recipe with these stages: a few steps of small views each, all of them logged."""
    views = [f"{VIEWS}.{key}={side}" for key in ("height", "width", "eval_height", "eval_width")]
    each = [*views, f"{VIEWS}.resolution_milestones=[]"]
    staged = [f"stages.{stage}.{change}" for stage in steps for change in each]
    lengths = [f"stages.{stage}.trainer.steps={count}" for stage, count in steps.items()]
    return [*staged, *lengths, "trainer.log_every=1", "trainer.image_every=0", "export.turntable=null", "report=false"]


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


@pytest.mark.parametrize(("name", "changes", "stages"), [
    ("textmesh", SMALL, {"main": 2}),
    ("latent-nerf", [*tiny_stages(16, latent=2, colors=2), "system.renderer.samples_per_ray=16", "export.mesh=null"],
     {"latent": 2, "colors": 2}),
])  # fmt: skip
def test_a_scene_of_another_kind_trains_two_steps_a_stage(registry, tmp_path, name, changes, stages):
    recipe, pipeline = begun(name, registry, tmp_path, changes)
    pipeline.run(recipe)
    assert [stage.name for stage in recipe.stages] == list(stages)
    for stage, steps in stages.items():
        rows = rows_of(pipeline.folder, stage)
        assert len(rows) == steps and all(float(row["gradient_norm"]) > 0.0 for row in rows)
        assert all(float(row["random/sds"]) > 0.0 for row in rows)
    if name == "textmesh":
        assert all(float(row["random/eikonal"]) > 0.0 for row in rows)


SMALL_SURFACE = [
    "stages.geometry.system.geometry.resolution=16", "stages.texture.system.geometry.resolution=16",
    "system.renderer.samples_per_ray=32", "export.mesh={type: mesh, formats: [ply], texture_size: 64, verify_views: 0}",
    "system.tasks.random.score.reference={type: adapter, rank: 4, lr: 0.02, warm_up_steps: 0, steps: 1}",
]  # fmt: skip


def test_prolificdreamer_ends_with_a_mesh_whose_shape_and_colours_were_trained(registry, tmp_path):
    changes = [*tiny_stages(32, coarse=2, geometry=2, texture=1), *SMALL_SURFACE]
    recipe, pipeline = begun("prolificdreamer", registry, tmp_path, changes)
    (mesh,) = [file for file in pipeline.run(recipe) if file.suffix == ".ply"]
    assert len(read_mesh(mesh).mesh.faces) > 100
    saved = {stage.name: read_checkpoint(pipeline.folder.checkpoint(stage.name)) for stage in recipe.stages}
    assert list(saved) == ["coarse", "geometry", "texture"]
    for stage, checkpoint in saved.items():
        rows = rows_of(pipeline.folder, stage)
        assert rows and all(float(row["gradient_norm"]) > 0.0 for row in rows)
        moved = [state["exp_avg"] for state in checkpoint["optimizer_states"][0]["state"].values()]
        assert moved and all(value.any() for value in moved)
        adapter = [value for name, value in checkpoint["state_dict"].items() if "lora_B" in name]
        assert bool(adapter) == (stage != "geometry") and all(value.any() for value in adapter)
    surface, painted = saved["geometry"]["state_dict"], saved["texture"]["state_dict"]
    for name in ("geometry.sdf", "geometry.offset"):
        assert torch.equal(surface[name], painted[name])  # the colours' stage leaves the shape as it is
    assert not torch.equal(surface["geometry.features.encoding"], painted["geometry.features.encoding"])


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
