"""Tests of a radiance field that becomes a surface, interrupted anywhere and resumed: always the same files."""

import csv
import hashlib
import shutil

import pytest
import torch

from bozzetto.config import layers
from bozzetto.engine.loop import Loop
from bozzetto.engine.pipeline import load_scene, load_state
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import ConfigError

GRID = {"levels": 2, "log2_table_size": 8, "finest_resolution": 16, "hidden_width": 8}
TWO_STAGES = {
    "trainer": {"steps": 3, "image_every": 0, "checkpoint_every": 2},
    "export": {
        "mesh": {"resolution": 12, "texture_size": 16, "formats": ["ply"], "verify_views": 0},
        "turntable": None,
    },
    "stages": {
        "coarse": {},
        "refine": {
            "inherit": ["geometry"],
            "system": {
                "geometry": {"type": "dmtet", "resolution": 8, "features": GRID},
                "renderer": {"type": "mesh"},
                "tasks": {
                    "random": {
                        "views": {"height": 24, "width": 24},
                        "guidance": {"max_step_fraction": 0.5},
                        "losses": {"sparsity": None, "normal-consistency": 1.0},
                    }
                },
                "optimizer": {"type": "adamw", "lr": 0.005},
            },
            "trainer": {"steps": 4},
        },
    },
}


class Killed(BaseException):
    """Simulates a killed process: no handler saves anything."""


@pytest.fixture
def two_stages(tiny):
    return tiny.recipe(TWO_STAGES)


def state_of(pipeline, stage):
    return load_state(pipeline.folder.checkpoint(stage))


def assert_same_run(actual, expected):
    for stage in ("coarse", "refine"):
        one, other = state_of(actual, stage), state_of(expected, stage)
        assert one.keys() == other.keys()
        for name, value in one.items():
            torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-6, msg=f"{stage} {name}")
        rows = [list(csv.DictReader((run.folder.metrics / f"{stage}.csv").open())) for run in (actual, expected)]
        assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    for run in (actual, expected):
        assert sorted(path.name for path in run.folder.export.iterdir()) == ["mesh.ply"]


FINISHED = []
"""The unbroken run and what it said; made once, read by many tests, changed by none."""


@pytest.fixture
def unbroken(tiny, two_stages):
    if not FINISHED:
        pipeline = tiny.pipeline(two_stages)
        pipeline.run(two_stages)
        FINISHED.extend([pipeline, list(tiny.said)])
    return FINISHED[0]


@pytest.fixture
def finished_copy(tiny, two_stages, unbroken, tmp_path):
    shutil.copytree(unbroken.folder.path, tmp_path / "copy")
    return tiny.pipeline(two_stages, RunFolder.existing(tmp_path / "copy"))


def test_each_stage_is_trained_as_its_recipe_says(two_stages, unbroken):
    coarse, refine = two_stages.stages
    assert (refine.optimizer.type, refine.trainer.steps) == ("adamw", 4)
    assert refine.tasks[0].views.config.height == 24 and coarse.tasks[0].views.config.height == 16
    assert refine.tasks[0].guidance.config.max_step_fraction.at(0) == 0.5
    assert [term.name for term in refine.tasks[0].terms] == ["sds", "normal-consistency"]
    assert [term.name for term in coarse.tasks[0].terms] == ["sds", "sparsity"]
    told = [line for line in FINISHED[1] if line.startswith("convert")]
    assert "density threshold" in told[0] and "mask IoU" in told[0] and "colours start from the stage before" in told[1]


def test_the_surface_has_sharper_edges_than_the_field_it_came_from(unbroken):
    coarse, refine = (unbroken.folder.manifest["stages"][name]["edge_softness"] for name in ("coarse", "refine"))
    assert 0.0 <= refine < coarse <= 0.5


def test_the_shape_and_the_colours_are_those_of_the_stage_before(tiny, two_stages):
    frozen = tiny.recipe(layers.overlay(TWO_STAGES, {"stages": {"refine": {"system": {"optimizer": {"lr": 0.0}}}}}))
    pipeline = tiny.pipeline(frozen)
    pipeline.run(frozen)
    coarse, refine = state_of(pipeline, "coarse"), state_of(pipeline, "refine")
    assert torch.equal(refine["geometry.features.encoding"], coarse["geometry.encoding"])
    scenes = [load_scene(frozen, tiny.registry, pipeline.folder, torch.device("cpu"), stage) for stage in frozen.stages]
    cameras = scenes[0].views.eval_cameras(2, torch.device("cpu"))
    with torch.no_grad():
        before, after = (
            scene.renderer(
                cameras, scene.geometry, scene.material, scene.background, scene.material.eval_shading(cameras)
            )
            for scene in scenes
        )
    solid = [picture.opacity > 0.5 for picture in (before, after)]
    assert (solid[0] & solid[1]).sum() / (solid[0] | solid[1]).sum() > 0.7


@pytest.mark.parametrize("stage, step", [("coarse", 1), ("refine", 0), ("refine", 3)])
def test_a_killed_run_ends_with_the_same_files(tiny, two_stages, unbroken, monkeypatch, stage, step):
    step_of = Loop.step

    def killed(loop):
        refining = type(loop.system.renderer).__name__ == "Mesh"
        if refining == (stage == "refine") and loop.done == step:
            raise Killed
        step_of(loop)

    broken = tiny.pipeline(two_stages)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "step", killed)
        with pytest.raises(Killed):
            broken.run(two_stages)
    resumed = tiny.pipeline(two_stages, RunFolder.existing(broken.folder.path))
    resumed.run(two_stages)
    assert_same_run(resumed, unbroken)


@pytest.mark.parametrize(
    "moment", ["bozzetto.engine.pipeline.inherit", "bozzetto.engine.run_folder.RunFolder.record_stage"]
)
def test_killed_between_the_stages(tiny, two_stages, unbroken, monkeypatch, moment):
    def killed(*arguments):
        raise Killed

    broken = tiny.pipeline(two_stages)
    with monkeypatch.context() as patch:
        patch.setattr(moment, killed)
        with pytest.raises(Killed):
            broken.run(two_stages)
    resumed = tiny.pipeline(two_stages, RunFolder.existing(broken.folder.path))
    resumed.run(two_stages)
    assert_same_run(resumed, unbroken)


def test_a_stage_can_be_entered_again(tiny, finished_copy):
    def digest(stage):
        return hashlib.sha256(finished_copy.folder.checkpoint(stage).read_bytes()).hexdigest()

    before = digest("coarse")
    longer = tiny.recipe(layers.overlay(TWO_STAGES, {"stages": {"refine": {"trainer": {"steps": 5}}}}))
    again = tiny.pipeline(longer, finished_copy.folder)
    again.run(longer, from_stage="refine")
    assert digest("coarse") == before
    assert again.folder.manifest["stages"]["refine"]["steps"] == 5
    rows = list(csv.DictReader((again.folder.metrics / "refine.csv").open()))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5"]
    from bozzetto.config.loading import load_recipe

    kept = load_recipe(again.folder.recipe_file, tiny.registry, profile=again.folder.manifest["profile"])
    assert kept.stages[1].trainer.steps == 5


def test_an_unknown_stage_is_told_before_anything_is_forgotten(tiny, two_stages, unbroken):
    with pytest.raises(
        ConfigError, match=r"There is no stage 'refin'\. Did you mean 'refine'\? Stages: coarse, refine"
    ):
        unbroken.run(two_stages, from_stage="refin")
    assert all(unbroken.folder.finished(stage.name, stage.trainer.steps) for stage in two_stages.stages)


def test_a_part_that_cannot_start_from_the_stage_before_is_told_when_the_recipe_is_read(tiny):
    stages = {"coarse": {}, "fine": {"inherit": ["geometry"], "system": {"geometry": {"type": "frequency-mlp"}}}}
    with pytest.raises(ConfigError, match="'frequency-mlp' cannot start from 'hash-grid' of stage 'coarse'"):
        tiny.recipe({"stages": stages})


def test_a_scene_without_a_surface_is_told_with_what_to_try(tiny, monkeypatch):
    monkeypatch.setattr("bozzetto_plugins.geometry.from_density.LEAST_OVERLAP", 1.01)
    recipe = tiny.recipe(layers.overlay(TWO_STAGES, {"trainer": {"steps": 1}}))
    with pytest.raises(ConfigError, match="no clear surface.*Train the coarse stage longer"):
        tiny.pipeline(recipe).run(recipe)


def test_a_threshold_given_is_used_and_its_agreement_reported(tiny):
    given = {"stages": {"refine": {"system": {"geometry": {"threshold": 2.5}}, "trainer": {"steps": 1}}}}
    recipe = tiny.recipe(layers.overlay(TWO_STAGES, given))
    tiny.pipeline(recipe).run(recipe)
    assert any("density threshold 2.5 as configured, mask IoU" in line for line in tiny.said)


def test_colours_need_a_hash_grid_of_the_same_kind(tiny):
    other = {"stages": {"refine": {"system": {"geometry": {"features": {"levels": 3}}}}}}
    with pytest.raises(ConfigError, match=r"levels is 2 there and 3 here.*inherit_features: false"):
        tiny.recipe(layers.overlay(TWO_STAGES, other))
