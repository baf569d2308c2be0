"""Tests that overrides hidden by a stage's own value are reported, and that null has one meaning in all spellings."""

from pathlib import Path

import pytest

from bozzetto.config.loading import load_recipe
from bozzetto.config.overrides import effective, shadowed
from bozzetto.registry.discovery import Registry, installed_sources

CONFIGS = Path(__file__).parents[3] / "configs"
VALUES = {
    "system": {"geometry": {"type": "hash-grid", "levels": 4}},
    "trainer": {"steps": 5, "log_every": 1},
    "stages": {
        "coarse": {},
        "refine": {"system": {"geometry": {"type": "dmtet"}}, "trainer": {"steps": 9}},
        "gone": None,
    },
}


@pytest.fixture(scope="module")
def registry():
    return Registry.discover(installed_sources({}), strict=True)


def test_what_a_stage_sees():
    assert effective(VALUES, "refine") == {
        "system": {"geometry": {"type": "dmtet"}},
        "trainer": {"steps": 9, "log_every": 1},
    }
    assert effective(VALUES, "")["trainer"] == VALUES["trainer"]


@pytest.mark.parametrize(
    "item", ["trainer.steps=5", "trainer={steps: 5}", "system.geometry.levels=4", "system={geometry: {levels: 4}}"]
)
def test_what_a_stage_sets_anew_is_told(item):
    (notice,) = shadowed([item], VALUES)
    key = "trainer.steps" if "trainer" in item else "system.geometry.levels"
    assert notice.startswith(f"{key} does not reach stage refine") and f"stages.refine.{key}=..." in notice


@pytest.mark.parametrize("item", ["trainer.log_every=1", "stages.refine.trainer.steps=9", "prompt=a", "seed=1"])
def test_what_reaches_every_stage_is_not(item):
    assert shadowed([item], VALUES) == ()


def test_the_recipe_tells(registry):
    recipe = load_recipe(CONFIGS / "magic3d.yaml", registry, ["trainer.steps=5"], "cpu")
    assert [stage.trainer.steps for stage in recipe.stages] == [5, 100]
    assert recipe.notices[0].startswith("trainer.steps does not reach stage refine")


@pytest.mark.parametrize("item", ["export.turntable=null", "export={turntable: null}", "export: "])
def test_null_removes_however_it_is_written(registry, item):
    overrides = [item] if "=" in item else []
    names = [name for name, _ in load_recipe(CONFIGS / "dreamfusion-sd.yaml", registry, overrides, "cpu").exports]
    assert names == (["mesh"] if overrides else ["turntable", "mesh"])
