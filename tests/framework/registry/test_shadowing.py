"""Tests with a package that also provides every built-in name and ships every built-in recipe."""

import dataclasses
import shutil
import sys
import types
from pathlib import Path

import pytest
import yaml

from bozzetto import hookimpl
from bozzetto.config.loading import load_recipe
from bozzetto.config.recipe_file import find_recipe, read_recipe, shipped_recipes
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import ConfigError, ModelError, PluginError
from bozzetto.registry.discovery import Registry, Source, installed_sources
from bozzetto.runs.start import plans_for
from bozzetto_convert.recipe_yaml import to_yaml
from bozzetto_convert.threestudio_recipe import read
from bozzetto_convert.translate import translate

ROOT = Path(__file__).parents[3]
RECIPES = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.fixture(scope="module")
def shadowed(tmp_path_factory):
    built_in = Registry.discover(installed_sources({}), strict=True)
    folder = tmp_path_factory.mktemp("recipes")
    for path in RECIPES:
        shutil.copy(path, folder)
    module = types.ModuleType("shadow_of_everything")

    @hookimpl
    def bozzetto_components():
        return [dataclasses.replace(entry.spec) for slot in built_in.entries.values() for entry in slot]

    @hookimpl
    def bozzetto_recipes():
        return [folder]

    @hookimpl
    def bozzetto_models():
        return [entry.spec for slot in built_in.models.values() for entry in slot]

    for hook in (bozzetto_components, bozzetto_recipes, bozzetto_models):
        setattr(module, hook.__name__, hook)
    sys.modules[module.__name__] = module
    registry = Registry.discover(
        [*installed_sources({}), Source("shadow", "9.0", "main", module.__name__)], strict=True
    )
    yield registry
    del sys.modules[module.__name__]


@pytest.fixture
def mine(tmp_path):
    def write(**values):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


@pytest.mark.parametrize("dist", ["bozzetto", "shadow"])
@pytest.mark.parametrize("name", [path.stem for path in RECIPES])
def test_every_shipped_recipe_means_its_own_distribution_in_every_profile(shadowed, dist, name):
    path = shipped_recipes(shadowed)[f"{dist}/{name}"]
    profiles = read_recipe(path, shadowed).profile_names
    assert {"cpu", "cuda"} <= set(profiles)
    for profile in profiles:
        recipe = load_recipe(path, shadowed, profile=profile)
        assert set(recipe.distributions) == {dist} == set(recipe.aliases.values())
        for task in recipe.stages[0].tasks:
            if task.guidance is not None:
                assert task.guidance.model.startswith(f"{dist}/")
        assert plans_for(recipe, shadowed).keys() == {f"{dist}/{alias}" for alias in recipe.aliases}


def test_a_bare_name_of_ones_own_is_a_conflict(shadowed, mine):
    path = mine(extends="bozzetto/dreamfusion-sd", system={"geometry": {"type": "hash-grid"}})
    with pytest.raises(
        PluginError, match=r"mine.yaml:\d: system.geometry.type: geometry 'hash-grid' is provided by bozzetto"
    ):
        load_recipe(path, shadowed)
    with pytest.raises(ConfigError, match="'dreamfusion-sd' is shipped twice"):
        load_recipe(mine(extends="dreamfusion-sd"), shadowed)


@pytest.mark.parametrize(
    "override",
    ["system.geometry.type=hash-grid", "system.geometry=hash-grid", "system.tasks.random.losses.distortion=1"],
)
def test_a_bare_name_on_the_command_line_is_a_conflict(shadowed, override):
    path = find_recipe("bozzetto/dreamfusion-sd", shadowed)
    with pytest.raises(PluginError, match="command line: .* is provided by bozzetto .*, shadow 9.0"):
        load_recipe(path, shadowed, [override])


def test_a_bare_alias_of_ones_own_is_a_conflict(shadowed, mine):
    path = mine(extends="bozzetto/dreamfusion-sd", system={"tasks": {"random": {"guidance": {"model": "sd-1.5"}}}})
    with pytest.raises(
        ModelError,
        match=r"mine.yaml:\d: system.tasks.random.guidance.model: model 'sd-1.5' is provided by bozzetto .*, shadow 9.0. "
        r"Write 'bozzetto/sd-1.5' or 'shadow/sd-1.5'\.",
    ):
        load_recipe(path, shadowed, profile="cuda")
    key = "system.tasks.random.guidance.model"
    with pytest.raises(ModelError, match="command line: .* is provided by bozzetto .*, shadow 9.0"):
        load_recipe(find_recipe("bozzetto/dreamfusion-sd", shadowed), shadowed, [f"{key}=sd-1.5"], "cuda")
    recipe = load_recipe(path, shadowed, [f"{key}=shadow/sd-1.5"], "cuda")
    assert recipe.stages[0].tasks[0].guidance.model == "shadow/sd-1.5" and recipe.aliases == {}


def test_a_default_alias_means_the_components_own(shadowed, mine):
    """A config's default is in no file; here the recipe's own file selects the type."""
    task = {"guidance": {"type": "shadow/stable-diffusion"}}
    path = mine(
        extends="bozzetto/dreamfusion-sd",
        system={"tasks": {"mine": {"views": "bozzetto/orbit", **task, "losses": {"sds": 1}}}},
    )
    recipe = load_recipe(path, shadowed, profile="cuda")
    assert [task.guidance.model for task in recipe.stages[0].tasks] == ["bozzetto/sd-2.1-base", "shadow/sd-1.5"]


def test_settings_of_what_a_shipped_recipe_names_are_no_conflict(shadowed, mine):
    loss = "system.tasks.random.losses.sparsity"
    path = mine(
        extends="bozzetto/dreamfusion-sd",
        system={"geometry": {"radius": 1.5}, "tasks": {"random": {"losses": {"sparsity": 2.0}}}},
    )
    recipe = load_recipe(path, shadowed, [f"{loss}={{from: 0, to: 3, until_step: 9}}", "system.geometry.levels=4"])
    coarse = recipe.stages[0]
    assert set(recipe.distributions) == {"bozzetto"}
    assert (coarse.geometry.config.radius, coarse.geometry.config.levels) == (1.5, 4)


def test_naming_the_distribution_keeps_what_is_set_below(shadowed, mine):
    """`bozzetto/hash-grid` over `hash-grid` is the same component, so its fields are kept."""
    path = mine(extends="bozzetto/dreamfusion-sd", system={"geometry": {"type": "bozzetto/hash-grid"}})
    plain = load_recipe(find_recipe("bozzetto/dreamfusion-sd", shadowed), shadowed, profile="cpu")
    assert load_recipe(path, shadowed, profile="cpu").stages[0].geometry.config == plain.stages[0].geometry.config


def test_a_recipe_may_say_what_names_mean(shadowed, mine):
    path = mine(
        extends="bozzetto/dreamfusion-sd",
        provided_by={"geometry/hash-grid": "shadow"},
        system={"geometry": "hash-grid"},
    )
    recipe = load_recipe(path, shadowed)
    assert recipe.stages[0].geometry.entry.dist == "shadow" and recipe.stages[0].renderer.entry.dist == "bozzetto"
    path = mine(
        extends="bozzetto/dreamfusion-sd",
        provided_by={"model/sd-1.5": "shadow"},
        system={"tasks": {"random": {"guidance": {"model": "sd-1.5"}}}},
    )
    assert load_recipe(path, shadowed, profile="cuda").stages[0].tasks[0].guidance.model == "shadow/sd-1.5"
    with pytest.raises(
        ConfigError, match=r"mine.yaml:\d: provided_by.hash-grid: expected e.g. loss/sparsity: bozzetto"
    ):
        load_recipe(mine(extends="bozzetto/dreamfusion-sd", provided_by={"hash-grid": "shadow"}), shadowed)


def test_a_run_goes_on_with_what_it_began_with(shadowed, tmp_path, registry):
    """Its recipe.yaml is not a shipped recipe; a package may have been installed since."""
    for begun_with in (registry, shadowed):
        recipe = load_recipe(find_recipe("bozzetto/magic3d", begun_with), begun_with, [f"output={tmp_path}"], "cuda")
        folder = RunFolder.create(recipe, ["test"], {})
        again = load_recipe(folder.recipe_file, shadowed, ["system.tasks.random.losses.sparsity=2"], recipe.profile)
        assert set(again.distributions) == {"bozzetto"}
        parts, parts_again = (
            [part for part in one.stages[1].components if part.kind != "guidance"] for one in (recipe, again)
        )
        assert parts_again == parts and recipe.aliases == {"sd-2.1-base": "bozzetto"}
        assert again.stages[1].tasks[0].guidance.model == "bozzetto/sd-2.1-base"


def test_a_converted_recipe_means_the_built_in_components(shadowed, tmp_path):
    theirs = ROOT / "tests" / "plugins" / "bozzetto_convert" / "threestudio" / "dreamfusion.yaml"
    path = tmp_path / "ours.yaml"
    path.write_text(to_yaml(translate(read(theirs), shadowed)), encoding="utf-8")
    assert set(load_recipe(path, shadowed).distributions) == {"bozzetto"}
