"""Tests of paths in a recipe: relative to the file that contains them, or to the working folder, with `~` expanded."""

from pathlib import Path

import pytest
import yaml

from bozzetto.config.loading import load_recipe
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import ConfigError
from bozzetto.registry.discovery import Registry, installed_sources

TEXTURE = {"extends": "texture-mesh", "prompt": "a box"}
PATHS = {
    "system.geometry.asset.path": lambda recipe: recipe.stages[0].geometry.config.asset.path,
    "system.tasks.random.guidance.model": lambda recipe: recipe.stages[0].tasks[0].guidance.config.model,
    "output": lambda recipe: recipe.output,
}


@pytest.fixture(scope="module")
def registry():
    return Registry.discover(installed_sources({}), strict=True)


@pytest.fixture
def write(tmp_path):
    def make(name, values):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(values))
        return path

    return make


def nested(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


@pytest.mark.parametrize("key", PATHS)
def test_a_path_in_a_file_is_relative_to_the_file(write, registry, tmp_path, monkeypatch, key):
    monkeypatch.chdir("/")
    recipe = load_recipe(write("models/r.yaml", {**TEXTURE, **nested(key, "./box.glb")}), registry, profile="cpu")
    assert PATHS[key](recipe) == str(tmp_path / "models" / "box.glb")


@pytest.mark.parametrize("key", PATHS)
def test_a_path_on_the_command_line_is_relative_to_the_working_folder(write, registry, tmp_path, monkeypatch, key):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = write("models/r.yaml", {**TEXTURE, **nested(key, "./other.glb")})
    recipe = load_recipe(path, registry, [f"{key}=../box.glb"], "cpu")
    assert PATHS[key](recipe) == str(tmp_path / "box.glb")


@pytest.mark.parametrize("key", PATHS)
@pytest.mark.parametrize("override", [True, False])
def test_the_home_folder(write, registry, tmp_path, monkeypatch, key, override):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    values = {**TEXTURE, **({} if override else nested(key, "~/box.glb"))}
    recipe = load_recipe(write("r.yaml", values), registry, [f"{key}=~/box.glb"] if override else [], "cpu")
    assert PATHS[key](recipe) == str(tmp_path / "home" / "box.glb")


def test_runs_are_made_in_the_working_folder_where_nothing_says_another(write, registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_recipe(write("models/r.yaml", TEXTURE), registry, profile="cpu").output == str(tmp_path / "outputs")


def test_each_file_of_a_chain_names_its_own(write, registry, tmp_path):
    write("parent/p.yaml", {**TEXTURE, **nested("system.geometry.asset.path", "box.glb")})
    child = write("child/c.yaml", {"extends": "../parent/p.yaml", "output": "runs"})
    recipe = load_recipe(child, registry, profile="cpu")
    assert recipe.stages[0].geometry.config.asset.path == str(tmp_path / "parent" / "box.glb")
    assert recipe.output == str(tmp_path / "child" / "runs")


def test_a_stage_and_a_profile_name_paths_too(write, registry, tmp_path):
    path = nested("system.geometry.asset.path", "box.glb")
    values = {**TEXTURE, "stages": {"a": {}, "b": path}, "profiles": {"cpu": {"stages": {"a": path}}}}
    recipe = load_recipe(write("models/r.yaml", values), registry, profile="cpu")
    assert {stage.geometry.config.asset.path for stage in recipe.stages} == {str(tmp_path / "models" / "box.glb")}


def test_a_photo_and_its_maps(write, registry, tmp_path):
    maps = nested("system.tasks.reference.views", {"depth": "depth.png", "normal": "maps/normal.png"})
    path = write("models/r.yaml", {"extends": "zero123", "image": "photo.png", **maps})
    reference = next(
        task for task in load_recipe(path, registry, profile="cpu").stages[0].tasks if task.name == "reference"
    )
    views, folder = reference.views.config, tmp_path / "models"
    assert (views.image, views.depth, views.normal) == tuple(
        str(folder / name) for name in ("photo.png", "depth.png", "maps/normal.png")
    )


def test_what_a_run_folder_keeps_holds_from_anywhere(write, registry, tmp_path, monkeypatch):
    values = {
        **TEXTURE,
        **nested("system.geometry.asset.path", "box.glb"),
        "stages": {"a": {}, "b": {"trainer": {"steps": 3}}},
    }
    recipe = load_recipe(write("models/r.yaml", values), registry, [f"output={tmp_path}/out"], "cpu")
    folder = RunFolder.create(recipe, ["test"], {})
    monkeypatch.chdir("/")
    again = load_recipe(folder.recipe_file, registry, profile="cpu")
    assert [s.geometry.config.asset.path for s in again.stages] == [str(tmp_path / "models" / "box.glb")] * 2
    assert again.output == recipe.output and {**again.values, "provided_by": None} == {
        **recipe.values,
        "provided_by": None,
    }


@pytest.mark.parametrize("model", ["bozzetto-mini", "sd-1.5", "owner/name", "owner/name@fp16"])
def test_a_name_of_weights_is_no_path(write, registry, model):
    key = "system.tasks.random.guidance.model"
    recipe = load_recipe(write("r.yaml", {**TEXTURE, **nested(key, model)}), registry, profile="cpu")
    assert PATHS[key](recipe) == model


def test_a_folder_that_is_there_beats_a_hub_repository_of_its_name(write, registry, tmp_path):
    (tmp_path / "models" / "sd").mkdir(parents=True)
    key = "system.tasks.random.guidance.model"
    recipe = load_recipe(write("r.yaml", {**TEXTURE, **nested(key, "models/sd")}), registry, profile="cpu")
    assert PATHS[key](recipe) == str(tmp_path / "models" / "sd")


def test_an_image_from_the_environment(write, registry, tmp_path, monkeypatch):
    monkeypatch.setenv("PHOTO", "a.png")
    path = write("models/r.yaml", {"extends": "zero123", "image": "${oc.env:PHOTO}"})
    assert load_recipe(path, registry, profile="cpu").image == str(tmp_path / "models" / "a.png")


@pytest.mark.parametrize("override", [True, False])
@pytest.mark.parametrize("text", ["${oc.env:HOME} chair", "a ${system} chair", "$ {x} ${", "a \\${x}"])
def test_a_prompt_is_letters(write, registry, text, override):
    values = {**TEXTURE, "prompt": "x" if override else text, "summary": "about ${prompt}"}
    try:
        recipe = load_recipe(write("r.yaml", values), registry, [f"prompt={text}"] if override else [], "cpu")
    except ConfigError as error:
        pytest.fail(str(error))
    assert recipe.prompt == text and recipe.summary == f"about {text}"


def test_a_photo_on_the_command_line_is_letters(write, registry):
    recipe = load_recipe(write("r.yaml", {"extends": "zero123"}), registry, ["image=/a ${b}.png"], "cpu")
    assert Path(recipe.image).name == "a ${b}.png"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.refin.trainer.steps=3", r"command line: stages\.refin: the recipe has no such stage\. Did you mean 'refine'\? Stages: coarse, refine"),
        ("stages.main.trainer.steps=3", r"stages\.main: the recipe has no such stage"),
        ("stages={extra: {}}", r"stages\.extra: the recipe has no such stage"),
    ],
)  # fmt: skip
def test_an_override_makes_no_stage(registry, override, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe(Path(__file__).parents[3] / "configs" / "magic3d.yaml", registry, [override], "cpu")


def test_the_stage_of_a_recipe_without_stages_is_main(registry):
    path = Path(__file__).parents[3] / "configs" / "dreamfusion-sd.yaml"
    assert load_recipe(path, registry, ["stages.main.trainer.steps=3"], "cpu").stages[0].trainer.steps == 3


@pytest.mark.parametrize("key", ["stages", "system.tasks", "export"])
def test_names_that_become_files_are_checked(write, registry, key):
    path = write("r.yaml", {"extends": "dreamfusion-sd", **nested(key, {"../../escaped": {"type": "mesh"}})})
    with pytest.raises(ConfigError, match=rf"{key}: '\.\./\.\./escaped' cannot be a name"):
        load_recipe(path, registry, profile="cpu")
