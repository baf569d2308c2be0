"""Tests of recipes that extend others and require plugins: precedence, and the location in errors."""

import sys
import types

import pytest
import yaml

from bozzetto import hookimpl
from bozzetto.config.loading import find_recipe, load_recipe
from bozzetto.config.recipe_file import read_recipe, shipped_recipes
from bozzetto.config.requirements import check_requirements
from bozzetto.errors import ConfigError, PluginError, UserError
from bozzetto.registry.discovery import Registry, Source, installed_sources

BASE = """\
name: parent
summary: the parent
prompt: a hamburger
plugins: ["bozzetto>=0.1"]
system:
  geometry:
    type: hash-grid
    levels: 8
  material: no-material
  background: {type: solid}
  renderer: {type: volume}
  prompt_processor: {type: view-dependent}
  tasks:
    random:
      views: {type: orbit}
      guidance: {type: stable-diffusion, model: bozzetto-mini}
      losses: {sds: 1.0}
trainer:
  steps: 100
profiles:
  cpu:
    system:
      geometry: {levels: 4}
    trainer: {steps: 50}
  cuda:
    trainer: {log_every: 7}
"""


@pytest.fixture(scope="module")
def registry():
    return Registry.discover(installed_sources({}), strict=True)


@pytest.fixture
def write(tmp_path):
    """Write files; the parent exists already."""

    def make(**files):
        (tmp_path / "parent.yaml").write_text(BASE)
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        return tmp_path

    return make


def geometry(recipe):
    return recipe.stages[0].geometry


def test_a_child_says_only_what_it_changes(write, registry):
    folder = write(child="extends: parent.yaml\nprompt: a red chair\n")
    recipe = load_recipe(folder / "child.yaml", registry, profile="cpu")
    assert (recipe.prompt, recipe.name, recipe.summary) == ("a red chair", "child", "the parent")
    assert geometry(recipe).config.levels == 4 and recipe.stages[0].trainer.steps == 50


def test_what_a_child_says_beats_its_parents_profiles_too(write, registry):
    child = "extends: parent.yaml\nsystem:\n  geometry: {type: frequency-mlp}\ntrainer: {steps: 3}\n"
    recipe = load_recipe(write(child=child) / "child.yaml", registry, profile="cpu")
    assert geometry(recipe).name == "frequency-mlp" and recipe.stages[0].trainer.steps == 3


def test_profiles_of_both_are_layered_and_named(write, registry):
    child = "extends: parent.yaml\nprofiles:\n  cuda: {trainer: {steps: 9}}\n  mps: {}\n"
    folder = write(child=child)
    assert read_recipe(folder / "child.yaml", registry).profile_names == ["cpu", "cuda", "mps"]
    trainer = load_recipe(folder / "child.yaml", registry, profile="cuda").stages[0].trainer
    assert (trainer.steps, trainer.log_every) == (9, 7)
    assert load_recipe(folder / "child.yaml", registry, profile="mps").stages[0].trainer.steps == 100


def test_a_chain_of_three_and_a_shipped_parent(write, registry):
    folder = write(
        child="extends: parent.yaml\nseed: 3\n",
        grandchild="extends: child.yaml\nplugins: [bozzetto<9]\ntrainer: {steps: 2}\n",
        shipped="extends: bozzetto/dreamfusion-sd\ntrainer: {steps: 2}\n",
    )
    recipe = load_recipe(folder / "grandchild.yaml", registry, profile="cpu")
    assert (recipe.seed, recipe.stages[0].trainer.steps, recipe.name) == (3, 2, "grandchild")
    assert recipe.values["plugins"] == ["bozzetto>=0.1", "bozzetto<9"] and "extends" not in recipe.values
    assert load_recipe(folder / "shipped.yaml", registry, profile="cpu").stages[0].trainer.steps == 2


def test_the_run_folders_copy_stands_alone(write, registry, tmp_path):
    recipe = load_recipe(write(child="extends: parent.yaml\n") / "child.yaml", registry, profile="cpu")
    copy = tmp_path / "elsewhere" / "recipe.yaml"
    copy.parent.mkdir()
    copy.write_text(yaml.safe_dump({**recipe.values, "profiles": {"cpu": {}}}))
    assert load_recipe(copy, registry).stages == recipe.stages


@pytest.mark.parametrize(
    ("child", "overrides", "message"),
    [
        ("extends: parent.yaml\nsystem:\n  geometry:\n    levles: 3\n", [], "child.yaml:4: system.geometry.levles is not a field"),
        ("extends: parent.yaml\nsystem:\n  renderer:\n    type: mash\n", [], "child.yaml:4: system.renderer.type: there is no renderer"),
        ("extends: parent.yaml\nsystem:\n  geometry: {radius: -1}\n", [], "child.yaml:3: system.geometry.radius: must lie in"),
        ("extends: parent.yaml\n", ["system.geometry.levels=x"], "command line: system.geometry.levels: expected a whole number, got 'x'."),
        ("extends: parent.yaml\n", ["trainer={steps: 0}"], "command line: trainer.steps: must lie in"),
        ("extends: parent.yaml\nprofiles:\n  cpu:\n    trainer: {steps: 0}\n", [], "child.yaml:4: trainer.steps: must lie in"),
        ("extends: parent.yaml\nprofiles:\n  cuda:\n    trainer: {steps: 0}\n  cpu:\n    seed: one\n", [], "child.yaml:6: seed: expected a whole number"),
        ("extends: parent.yaml\nstages:\n  fine:\n    system:\n      geometry: {levels: many}\n", [], "child.yaml:5: system.geometry.levels: expected a whole"),
        ("extends: parent.yaml\nstages:\n  coarse: {}\n  fine:\n    inherit: [geometri]\n", [], "child.yaml:5: stages.fine.inherit: 'geometri' is none of"),
        ("extends: parent.yaml\nsystem:\n  tasks:\n    random:\n      views:\n        fov_y_deg: [1, x]\n", [], "child.yaml:6: system.tasks.random.views.fov_y_deg[1]: expected a number"),
        ("extends: parent.yaml\nsummary: ${no.such.key}\n", [], "child.yaml:2: summary: Interpolation key 'no.such.key' not found."),
        ("extends: parent.yaml\nplugins:\n- bozzetto\n- not-a-distribution>=1\n", [], "child.yaml:4: plugins[1]: 'not-a-distribution>=1' is not installed."),
        ("extends: parnt.yaml\n", [], "child.yaml:1: extends: there is no recipe"),
        ("seed: 1\nextends: dreamfusion-ds\n", [], "child.yaml:2: extends: There is no recipe 'dreamfusion-ds'. Did you mean 'dreamfusion-sd'?"),
        ("extends: [parent.yaml]\n", [], "child.yaml:1: extends: expected a recipe's name or a path"),
        ("extends: child.yaml\n", [], "child.yaml:1: extends: child.yaml -> child.yaml is circular."),
        ("extends: parent.yaml\nprofiles:\n  cpu: fast\n", [], "child.yaml:3: profiles.cpu: expected a mapping of what it changes, got 'fast'."),
        ("extends: parent.yaml\nprofiles: [cpu]\n", [], "child.yaml:2: profiles: expected a mapping from names"),
        ("extends: parent.yaml\nprofiles: {cpu: {extends: x}}\n", [], "child.yaml:2: extends is not known."),
    ],
)  # fmt: skip
def test_errors_name_the_file_and_line_that_won(write, registry, child, overrides, message):
    with pytest.raises(UserError) as error:
        load_recipe(write(child=child) / "child.yaml", registry, overrides, "cpu")
    assert message in str(error.value), str(error.value)


def test_an_error_in_the_parent_names_the_parent(write, registry):
    folder = write(child="extends: middle.yaml\n", middle="extends: parent.yaml\nsystem:\n  material: {tpye: x}\n")
    with pytest.raises(UserError, match=r"middle\.yaml:3: system\.material"):
        load_recipe(folder / "child.yaml", registry, profile="cpu")
    (folder / "middle.yaml").write_text("extends: nowhere.yaml\n")
    with pytest.raises(ConfigError, match=r"middle\.yaml:1: extends: there is no recipe .*nowhere\.yaml"):
        load_recipe(folder / "child.yaml", registry, profile="cpu")


def test_longer_circles_are_told(write, registry):
    folder = write(one="extends: two.yaml\n", two="extends: one.yaml\n")
    with pytest.raises(ConfigError, match=r"one\.yaml -> two\.yaml -> one\.yaml is circular"):
        read_recipe(folder / "one.yaml", registry)


@pytest.fixture
def shipping(tmp_path, monkeypatch):
    """Return a registry whose plugin `bozzetto-blocky` ships a folder of recipes, beside the built-ins."""

    def make(dist="bozzetto-blocky", **files):
        folder = tmp_path / dist
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text)
        module = types.ModuleType(f"fake_{dist.replace('-', '_')}")
        module.bozzetto_recipes = hookimpl(lambda: [folder])
        module.bozzetto_recipes.__name__ = "bozzetto_recipes"
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return Source(dist, "1.2", "main", module.__name__)

    return make


def test_recipes_of_plugins_are_found_by_both_names(shipping):
    sources = [*installed_sources({}), shipping(voxels="extends: dreamfusion-sd\nsummary: boxes\n")]
    registry = Registry.discover(sources, strict=True)
    path = find_recipe("bozzetto-blocky/voxels", registry)
    assert find_recipe("voxels", registry) == path and "bozzetto-blocky/voxels" in shipped_recipes(registry)
    assert load_recipe(path, registry, profile="cpu").summary == "boxes"
    with pytest.raises(ConfigError, match=r"Did you mean 'bozzetto-blocky/voxels'\?"):
        find_recipe("bozzetto-blocky/voxel", registry)


def test_a_name_shipped_twice_asks_for_the_distribution(shipping):
    sources = [*installed_sources({}), shipping(**{"dreamfusion-sd": "seed: 1\n"})]
    registry = Registry.discover(sources, strict=True)
    with pytest.raises(
        ConfigError, match="shipped twice. Write bozzetto/dreamfusion-sd or bozzetto-blocky/dreamfusion-sd"
    ):
        find_recipe("dreamfusion-sd", registry)
    assert find_recipe("bozzetto/dreamfusion-sd", registry).is_file()


def test_requirements_are_checked_before_anything_else(write, registry):
    text = "extends: bozzetto-blocky/voxels\nplugins: ['bozzetto-blocky>=1.2,<2']\nnonsense: 1\n"
    with pytest.raises(
        PluginError, match=r"child\.yaml:2: plugins\[0\]: .* Install it with: pip install 'bozzetto-blocky>=1\.2,<2'"
    ):
        load_recipe(write(child=text) / "child.yaml", registry)


def test_a_required_plugin_must_load_and_be_switched_on(registry):
    broken = Registry.discover([Source("bozzetto", "0.1", "main", "there_is_no_such_module")])
    with pytest.raises(PluginError, match=r"plugins\[0\]: bozzetto .* failed to load: ModuleNotFoundError"):
        check_requirements(["bozzetto"], broken)
    with pytest.raises(PluginError, match="offers no plugin here. Is it named in BOZZETTO_DISABLE"):
        check_requirements(["bozzetto"], Registry.discover([]))
    check_requirements(["Bozzetto>=0.1,<9", "no-such-thing; python_version < '3'"], registry)
    with pytest.raises(ConfigError, match=r"plugins\[0\]: '>>' is not a requirement"):
        check_requirements([">>"], registry)
