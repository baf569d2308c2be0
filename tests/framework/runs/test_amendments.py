"""Tests of overrides of an existing run: each takes effect and is recorded, or is refused with the fix."""

import json

import pytest
import yaml

from bozzetto.config.loading import load_recipe
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import ConfigError
from bozzetto.files import write_text
from bozzetto.machine.accelerators import Accelerator
from bozzetto.runs.amendments import load_amended

CPU = Accelerator("cpu", "a test")
STAGES = {"coarse": {}, "refine": {"inherit": ["geometry"], "trainer": {"steps": 6}}}


@pytest.fixture
def folder(tiny):
    """Return a run folder whose stages have a number of steps if finished, `begun`, or nothing."""

    def make(changes=None, **stages):
        made = RunFolder.create(tiny.recipe(changes), ["test"], {})
        for name, state in stages.items():
            write_text(made.checkpoint(name), "a checkpoint")
            if state != "begun":
                made.record_stage(name, {"finished": True, "steps": state})
        return made

    return make


def amend(tiny, folder, *overrides, from_stage=None):
    amended = load_amended(folder, tiny.registry, overrides, CPU)
    return amended.recipe, amended.require_resumable(from_stage)


def test_more_steps_for_a_finished_run(tiny, folder):
    recipe, told = amend(tiny, folder(main=4), "trainer.steps=8", "prompt=a chair")
    assert (recipe.stages[0].trainer.steps, recipe.prompt, told) == (8, "a chair", ())


@pytest.mark.parametrize(
    "override", ["prompt=a chair", "seed=7", "trainer.steps=3", "system.tasks.random.guidance.cfg_scale=9"]
)
def test_what_would_change_nothing_is_refused_with_the_ways_that_work(tiny, folder, override):
    with pytest.raises(ConfigError) as error:
        amend(tiny, folder(main=4), override)
    for text in (
        "would change nothing",
        "it has trained 4",
        "trainer.steps=N",
        "--from-stage main",
        "--config",
        "recipe.yaml",
    ):
        assert text in str(error.value)


@pytest.mark.parametrize(
    "override",
    ["prompt=a hamburger", "trainer.steps=4", "seed=0", "device=cpu", "export.mesh.resolution=16", "export=null"],
)
def test_what_holds_already_or_acts_at_the_end_is_taken(tiny, folder, override):
    assert amend(tiny, folder(main=4), override)[1] == ()


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("seed=7", "the seed acts no more"),
        ("system.geometry.levels=3", "the geometry is built and trained"),
        ("system.material.type=no-material", "another type of material"),
        ("system.material=no-material", "another type of material"),
        ("system.optimizer.betas=[0.5, 0.9]", "the optimiser's state is kept"),
        ("system.optimizer.lr_of={background: 0.1}", "the optimiser's state is kept"),
    ],
)
def test_what_is_fixed_in_the_middle_of_a_stage(tiny, folder, override, why):
    with pytest.raises(
        ConfigError, match=rf"{why}.*of stage main, which has begun\. Train it again: --from-stage main"
    ):
        amend(tiny, folder(main="begun"), override)
    amend(tiny, folder(main="begun"), override, from_stage="main")


@pytest.mark.parametrize(
    "override",
    [
        "prompt=a chair",
        "trainer.steps=9",
        "trainer.image_every=0",
        "system.optimizer.lr=0.1",
        "system.tasks.random.losses.sparsity=2",
    ],
)
def test_what_acts_in_the_middle_of_a_stage(tiny, folder, override):
    recipe, told = amend(tiny, folder(main="begun"), override)
    assert told == () and recipe.values != tiny.recipe().values


@pytest.mark.parametrize("override", ["output=elsewhere", "name=other"])
def test_a_run_stays_where_it_is(tiny, folder, override):
    with pytest.raises(ConfigError, match="a run stays in its folder"):
        amend(tiny, folder(main=4), override)


def test_a_stage_that_has_finished_is_named_where_others_see_the_change(tiny, folder):
    _, told = amend(tiny, folder({"stages": STAGES}, coarse=4), "prompt=a chair")
    assert told == ("prompt does not reach stage coarse, which has finished",)


def test_a_stage_is_not_trained_on_below_one_that_has_started_from_it(tiny, folder):
    made = folder({"stages": STAGES}, coarse=4, refine=6)
    with pytest.raises(
        ConfigError, match="stage refine has started from coarse as it was after 4 steps.*--from-stage refine"
    ):
        amend(tiny, made, "stages.coarse.trainer.steps=8")
    assert amend(tiny, made, "stages.coarse.trainer.steps=8", from_stage="refine")[1] == ()


def test_a_moved_photo_is_repaired_wherever_it_is_read(tiny, folder, tmp_path, registry):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({"extends": "zero123", "image": "old.png", "output": str(tmp_path / "out")}))
    made = RunFolder.create(load_recipe(path, registry, profile="cpu"), ["test"], {})
    recipe = load_amended(made, registry, ["image=/new place/ph oto.png"], CPU).recipe
    (views,) = (task.views.config for task in recipe.stages[0].tasks if task.name == "reference")
    assert recipe.image == views.image == "/new place/ph oto.png"


@pytest.mark.parametrize(
    "override",
    ["system.geometry.levels=3", "prompt=a chair", "trainer.steps=9", "system.optimizer.lr=1", "seed=2", "output=x"],
)
def test_an_export_refuses_what_acts_on_training(tiny, folder, override):
    amended = load_amended(folder(main=4), tiny.registry, [override], CPU)
    with pytest.raises(ConfigError, match="acts on training, and an export takes what was trained"):
        amended.require_exportable()


@pytest.mark.parametrize(
    "override",
    [
        "export.mesh.resolution=16",
        "device=cpu",
        "system.tasks.random.views.eval_distance=3",
        "system.renderer.samples_per_ray=8",
    ],
)
def test_an_export_takes_what_it_reads(tiny, folder, override):
    load_amended(folder(main=4), tiny.registry, [override], CPU).require_exportable()


def test_another_type_of_a_trained_part_is_refused_by_an_export(tiny, folder):
    amended = load_amended(folder(main=4), tiny.registry, ["system.material.type=no-material"], CPU)
    with pytest.raises(ConfigError, match="the run has trained another type of material"):
        amended.require_exportable()


def test_the_manifest_keeps_what_a_run_went_on_with(tiny, folder):
    made = folder(main=4)
    recipe, _ = amend(tiny, made, "trainer.steps=8", "prompt=a chair")
    made.record_resumed(recipe, ["bozzetto", "run", "--resume"])
    manifest = json.loads(made.manifest_file.read_text())
    assert manifest["prompt"] == "a chair" and manifest["resumed_with"] == [["bozzetto", "run", "--resume"]]
    assert manifest["command"] == ["test"]
    kept = yaml.safe_load(made.recipe_file.read_text())
    assert kept["trainer"]["steps"] == 8 and kept["prompt"] == "a chair"
