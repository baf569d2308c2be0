"""Tests of loading a YAML file into a checked recipe: accepted values, and every error."""

from pathlib import Path

import pytest
import yaml

from bozzetto.config import layers
from bozzetto.config.loading import find_recipe, load_recipe
from bozzetto.errors import ConfigError, PluginError, UserError
from bozzetto.machine.accelerators import Accelerator
from bozzetto.registry.discovery import Registry, installed_sources

RECIPES = sorted(Path(__file__).parents[3].glob("configs/*.yaml"))

MINIMAL = {
    "prompt": "a hamburger",
    "system": {
        "geometry": {"type": "hash-grid"},
        "material": {"type": "no-material"},
        "background": {"type": "solid"},
        "renderer": {"type": "volume"},
        "prompt_processor": {"type": "view-dependent"},
        "tasks": {
            "random": {
                "views": {"type": "orbit"},
                "guidance": {"type": "stable-diffusion", "model": "bozzetto-mini"},
                "losses": {"sds": 1.0, "sparsity": {"from": 0, "to": 1, "until_step": 10}},
            }
        },
    },
}


@pytest.fixture(scope="module")
def registry():
    return Registry.discover(installed_sources({}), strict=True)


@pytest.fixture
def load(registry, tmp_path):
    """Write MINIMAL with changes and load it."""

    def make(changes=None, overrides=(), profile="auto", hardware=None):
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(layers.overlay(MINIMAL, changes or {}), sort_keys=False))
        return load_recipe(path, registry, overrides, profile, hardware)

    return make


def test_a_recipe_without_stages_is_one_stage(load):
    recipe = load()
    (stage,) = recipe.stages
    (task,) = stage.tasks
    assert (stage.name, task.name, recipe.name) == ("main", "random", "recipe")
    sds, sparsity = task.terms
    assert sds.component is None and sparsity.component.name == "sparsity"
    assert sparsity.weight.at(5) == 0.5


def test_overrides_reach_the_configs(load):
    recipe = load(overrides=["system.geometry.levels=5", "prompt=a red chair", "trainer.steps=7"])
    assert recipe.stages[0].geometry.config.levels == 5
    assert recipe.prompt == "a red chair" and recipe.stages[0].trainer.steps == 7


def test_another_geometry_needs_only_its_type(load):
    recipe = load({"system": {"geometry": {"levels": 4}}}, ["system.geometry.type=frequency-mlp"])
    assert recipe.stages[0].geometry.name == "frequency-mlp"


def test_loss_with_its_own_fields_and_weight(load):
    losses = {"normal-smoothness-3d": {"weight": 3, "epsilon": 0.5}}
    terms = load({"system": {"tasks": {"random": {"losses": losses}}}}).stages[0].tasks[0].terms
    smooth = terms[-1]
    assert smooth.weight.at(0) == 3.0 and smooth.component.config.epsilon == 0.5


def test_stages_overlay_the_shared_system(load):
    stages = {
        "coarse": {"trainer": {"steps": 3}},
        "fine": {"inherit": ["geometry"], "system": {"geometry": {"blob_std": 0.3}}},
    }
    coarse, fine = load({"stages": stages}).stages
    assert (coarse.trainer.steps, fine.geometry.config.blob_std, fine.inherit) == (3, 0.3, ("geometry",))


def test_profiles_are_chosen_by_hardware_or_by_name(load):
    profiles = {"profiles": {"cpu": {"trainer": {"steps": 1}}, "cuda": {"trainer": {"steps": 2}}}}
    assert load(profiles).profile == "cpu"
    assert load(profiles, hardware=Accelerator("cuda", "1 CUDA device found")).stages[0].trainer.steps == 2
    assert load(profiles, hardware=Accelerator("mps", "Apple silicon")).profile_reason.endswith("has no mps profile")
    assert load(profiles, profile="cuda").profile_reason == "chosen with --profile"
    with pytest.raises(ConfigError, match=r"no profile 'cdua'\. Did you mean 'cuda'\? Profiles: cpu, cuda"):
        load(profiles, profile="cdua")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "???"}, "prompt is missing. Say what to make"),
        ({"prompt": "  "}, "prompt is missing. Say what to make"),
        ({"promt": "a"}, "promt is not known. Did you mean 'prompt'?"),
        ({"system": {"geometry": {"denisty_bias": "none"}}}, "system.geometry.denisty_bias is not a field of HashGridConfig. Did you mean 'density_bias'?"),
        ({"system": {"geometry": {"type": "hash-gird"}}}, "system.geometry.type: there is no geometry named 'hash-gird'. Did you mean 'hash-grid'?"),
        ({"system": {"geometry": None}}, "system.geometry is missing. Give it a type: "),
        ({"system": {"gemetry": {}}}, "system.gemetry is not known. Did you mean 'geometry'?"),
        ({"system": {"tasks": {"random": {"losses": {"sparsty": 1}}}}}, "there is no loss named 'sparsty'. Did you mean 'sparsity'?"),
        ({"system": {"tasks": {"random": {"guidance": None}}}}, "there is no loss named 'sds'"),
        ({"system": {"tasks": {"random": {"losses": None}}}}, "system.tasks.random.losses: at least one weighted loss"),
        ({"system": {"tasks": {"random": {"every": 0}}}}, "system.tasks.random.every: must lie in"),
        ({"trainer": {"stesp": 1}}, "trainer.stesp is not a field of TrainerConfig. Did you mean 'steps'?"),
        (
            {"trainer": {"deterministic": True, "cudnn_benchmark": True}},
            "cudnn_benchmark: what is fastest differs from run to run, but deterministic is true",
        ),
        ({"seed": "one"}, "seed: expected a whole number, got 'one'."),
        ({"device": "gpu"}, "device: 'gpu' is not one of auto, cpu, cuda, mps."),
        ({"plugins": ["not-a-distribution>=1"]}, "plugins[0]: 'not-a-distribution>=1' is not installed."),
        ({"plugins": ["pluggy>=999"]}, "plugins[0]: 'pluggy>=999' is wanted"),
        ({"stages": {"main": {"inherit": ["geometri"]}}}, "stages.main.inherit: 'geometri' is none of"),
        ({"export": {"mseh": {}}}, "there is no exporter named 'mseh'. Did you mean 'mesh'?"),
    ],
)  # fmt: skip
def test_each_error_is_one_clear_message(load, changes, message):
    with pytest.raises(UserError) as error:
        load(changes)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_error_in_the_file_names_its_line(load, tmp_path):
    with pytest.raises(ConfigError) as error:
        load({"system": {"geometry": {"levles": 3}}})
    line = (tmp_path / "recipe.yaml").read_text().splitlines().index("    levles: 3") + 1
    assert f"recipe.yaml:{line}: system.geometry.levles is not a field" in str(error.value)


def test_needs_must_be_provided(registry, load, monkeypatch):
    from dataclasses import replace

    (entry,) = registry.entries["renderer", "volume"]
    demanding = replace(entry, spec=replace(entry.spec, needs=frozenset({"sdf"})))
    monkeypatch.setitem(registry.entries, ("renderer", "volume"), [demanding])
    with pytest.raises(ConfigError, match=r"system\.renderer: renderer 'volume' needs sdf, which no component"):
        load()


def test_recipes_are_found_by_name_and_nearest(registry):
    assert find_recipe("dreamfusion-sd", registry) == find_recipe("bozzetto/dreamfusion-sd", registry)
    with pytest.raises(ConfigError, match="Did you mean 'dreamfusion-sd'"):
        find_recipe("dreamfusion-ds", registry)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
@pytest.mark.parametrize("profile", ["cpu", "cuda"])
def test_every_shipped_recipe_is_valid_in_every_profile(registry, path, profile):
    recipe = load_recipe(path, registry, profile=profile)
    assert recipe.profile == profile and recipe.subject and recipe.summary and recipe.exports


def test_values_round_trip_through_the_run_folder(load, registry, tmp_path):
    recipe = load(overrides=["system.geometry.levels=5"])
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(dict(recipe.values)))
    assert load_recipe(path, registry).stages == recipe.stages


def test_unusable_plugin_requirement(load):
    with pytest.raises(ConfigError, match="is not a requirement"):
        load({"plugins": [">>"]})
    assert issubclass(PluginError, UserError)


def test_a_tier_changes_the_profile_of_its_device_further(load):
    profiles = {
        "cpu": {},
        "cuda": {"trainer": {"steps": 2, "image_every": 7}},
        "cuda-8gb": {"trainer": {"steps": 3}, "system": {"geometry": {"blob_std": 0.3}}},
    }
    recipe = load({"profiles": profiles}, profile="cuda-8gb")
    trainer = recipe.stages[0].trainer
    assert (trainer.steps, trainer.image_every, recipe.profile) == (3, 7, "cuda-8gb")
    assert recipe.stages[0].geometry.config.blob_std == 0.3
    with pytest.raises(ConfigError, match=r"\.yaml:\d+: .*trainer\.steps"):
        load({"profiles": {**profiles, "cuda": {"trainer": {"steps": 0}}, "cuda-8gb": {}}}, profile="cuda-8gb")
