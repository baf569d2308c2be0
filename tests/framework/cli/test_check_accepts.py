"""Tests that `bozzetto check` refuses what would fail in the first step, in one line and with exit code 2."""

import itertools
import os
from pathlib import Path

import pytest
import yaml

from bozzetto.cli import main
from bozzetto.config.recipe_file import read_recipe
from bozzetto.registry.discovery import Registry, installed_sources

FOLDER = Path(__file__).parents[3] / "configs"
PHOTO = sorted((FOLDER / "photos").glob("*.png"))[0]
REGISTRY = Registry.discover(installed_sources({}), strict=True)
SHIPPED = [
    (path.stem, profile)
    for path in sorted(FOLDER.glob("*.yaml"))
    for profile in read_recipe(path, REGISTRY).profile_names or ["auto"]
]
RANDOM = "system.tasks.random"
BIG_GRID = "system.geometry={levels: 32, features_per_level: 8, log2_table_size: 24, finest_resolution: 500000}"

REFUSED = {
    "trainer=20": "trainer: expected steps, devices, kernels, deterministic, log_every, image_every",
    "export=glb": "export: expected exporters by name",
    "export=[mesh]": "export: expected exporters by name",
    "system=[hash-grid]": "system: expected geometry, material",
    "system.optimizer=3": "system.optimizer: expected type, lr, lr_of",
    "system.tasks=3": "system.tasks: expected tasks by name",
    "system.tasks.random.losses=[sds]": f"{RANDOM}.losses: expected weights by name",
    "system.tasks.random.guidance=0": f"{RANDOM}.guidance: expected {{type: NAME",
    "stages=0": "stages: expected stages by name",
    "stages={main: null}": "stages: every stage is null",
    "name=1984": "name: expected text, got 1984; quote it.",
    "seed=99999999999999999999": "seed: must lie in [0, 9223372036854775807]",
    "seed=-1": "seed: must lie in [0, 9223372036854775807]",
    "system.optimizer.lr=.nan": "system.optimizer.lr: expected a finite number",
    "system.optimizer.lr=-0.1": "system.optimizer.lr: must lie in [0, 10]",
    "system.optimizer.betas=[0.9, 1.0]": "system.optimizer.betas[1]: must lie in",
    "system.optimizer.eps=0": "system.optimizer.eps: must lie in",
    "system.optimizer.weight_decay=-1": "system.optimizer.weight_decay: must lie in",
    "system.optimizer.clip_norm=.inf": "system.optimizer.clip_norm: must lie in",
    "system.optimizer.lr_of={geometry.encodng: 0.01}": (
        "lr_of.geometry.encodng matches no parameter. Did you mean 'geometry.encoding'?"
    ),
    "export.mesh.resolution=100000": "export.mesh.resolution: must lie in [8, 1024]",
    "export.mesh.resolution=1024": "export.mesh.resolution: 1024 takes 4.29 GB at least, and this machine has 4 GB. At most 1000 fits",
    BIG_GRID: "system.geometry: its parameters take",
    f"{RANDOM}.views={{batch_size: 4096, height: 4096, width: 4096}}": f"{RANDOM}.views: a step of 68719476736 pixels",
    f"{RANDOM}.start_step=100000": f"{RANDOM}.start_step: must be before the last step",
    f"{RANDOM}.until_step=0": f"{RANDOM}.until_step: must be after start_step",
    "trainer.steps=0": "trainer.steps: must lie in",
    "system.geometry.feature_count=2": "system.material: it reads RGB",
    f"{RANDOM}.guidance.guider=perp-neg": f"{RANDOM}.guidance.guider: 'perp-neg' needs negative prompts",
    f"{RANDOM}.losses.reference-color=1": "system.tasks.random.losses.reference-color: loss 'reference-color'",
}


@pytest.fixture(autouse=True)
def _limited(monkeypatch):
    """Simulate 4 GB of memory on any machine."""
    monkeypatch.setattr("bozzetto.machine.capacity.machine_memory", lambda: 4 * 10**9)


@pytest.mark.parametrize(("recipe", "profile"), SHIPPED)
def test_every_shipped_recipe_is_ok_in_every_profile(recipe, profile, capsys):
    photo = [f"image={PHOTO}"] if recipe in ("zero123", "magic123") else []
    assert main(["check", recipe, "--profile", profile, *photo]) == 0
    assert capsys.readouterr().out.endswith("ok: the recipe is valid\n")


@pytest.mark.parametrize("override", REFUSED)
def test_what_the_run_cannot_do_is_refused(override, capsys):
    assert main(["check", "dreamfusion-sd", "--profile", "cpu", "prompt=a chair", override]) == 2
    error = capsys.readouterr().err
    assert REFUSED[override] in error and error.count("\n") == 1


def test_stages_of_one_type_have_parameters_of_one_shape(tmp_path, capsys):
    stages = {"a": {}, "b": {"inherit": ["geometry"], "system": {"geometry": {"levels": 4}}}}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"extends": "dreamfusion-sd", "stages": stages}))
    assert main(["check", str(path), "--profile", "cpu"]) == 2
    message = "stages.b.inherit: geometry cannot start from stage 'a': levels is 6 there and 4 here"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("text", "shown"), [("1984", "1984"), ("yes", "True"), ("1.5", "1.5")])
def test_a_prompt_that_yaml_takes_for_something_else(tmp_path, capsys, text, shown):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"extends: dreamfusion-sd\nprompt: {text}\n")
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err == f"error: {path}:2: prompt: expected text, got {shown}; quote it.\n"


@pytest.mark.parametrize(
    ("recipe", "override", "message"),
    [
        ("texture-mesh", "system.geometry.asset.path=nothing.glb", "system.geometry.asset.path: there is no file"),
        ("magic3d", "stages.refine.system.geometry.start_mesh.path=x.obj", "system.geometry.start_mesh.path: there is no file"),
        ("zero123", "system.tasks.reference.views.depth=chiar.png", "views.depth: there is no file"),
        ("zero123", "system.tasks.reference.views.normal=nothing.png", "views.normal: there is no file"),
        ("zero123", "system.tasks.reference.losses.reference-depth-correlation=1", "compares with a depth map"),
        ("zero123", "system.tasks.reference.losses.reference-normal=1", "compares with a normal map"),
    ],
)  # fmt: skip
def test_files_and_maps_that_are_not_there(recipe, override, message, capsys):
    photo = [f"image={PHOTO}"] if recipe == "zero123" else ["prompt=a box"]
    code = main(["check", recipe, "--profile", "cpu", *photo, override])
    error = capsys.readouterr().err
    assert code == 2 and message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": {"levels": 4}}, "system.geometry.features: cannot start from the stage before: levels is 6 there and 4 here"),
        ({"radius": 0.9}, "radius is 1.0 there and 0.9 here"),
        ({"inherit_features": False, "features": {"levels": 4}}, None),
    ],
)  # fmt: skip
def test_colours_are_taken_over_from_a_grid_that_is_alike(tmp_path, capsys, change, message):
    path = tmp_path / "recipe.yaml"
    stages = {"refine": {"system": {"geometry": change}}}
    path.write_text(
        yaml.safe_dump({"extends": "magic3d", "profiles": {"cpu": {"stages": stages}}, "prompt": "a chair"})
    )
    assert main(["check", str(path), "--profile", "cpu"]) == (2 if message else 0)
    assert message is None or message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "output", "message"),
    [
        (["check"], "a-file", "/a-file' is a file, and a folder is needed. Choose another folder: output=FOLDER."),
        (["run", "--config"], "a-file/below", "/a-file' is a file, and a folder is needed."),
        (["check"], "new/" + "x" * 300, "has a name of more than 255 bytes."),
        (["check"], "new/" + "\u00e4" * 128, "has a name of more than 255 bytes."),
        (["check"], "round/below", "/round/below' cannot be used: Too many levels of symbolic links."),
        (["run", "--dry-run", "--config"], "closed/below", "is not writable. "),
    ],
)
def test_a_run_folder_that_cannot_be_made(tmp_path, monkeypatch, capsys, command, output, message):
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    Path("round").symlink_to("round")
    Path("closed").mkdir()
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and may(path, mode))
    assert main([*command, "dreamfusion-sd", "--profile", "cpu", "prompt=a chair", f"output={output}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: output: ") and message in error and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-file", "closed", "round"]


def test_a_run_folder_that_can_be_made(tmp_path, capsys):
    for output in (tmp_path, tmp_path / "new" / "folder", tmp_path / ("x" * 255)):
        assert main(["check", "dreamfusion-sd", "--profile", "cpu", "prompt=a chair", f"output={output}"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_overrides_one_after_the_other_never_end_in_a_traceback(capsys):
    """Every known key set to an invalid value."""
    keys = ("prompt", "image", "name", "seed", "device", "output", "system", "trainer", "export", "stages", "plugins")
    values = ("[]", "{}", "0", "-1", "true", "null", ".nan", "''", "[[1]]", "{a: {b: c}}", "x")
    for key, value in itertools.product(keys, values):
        assert main(["check", "dreamfusion-sd", "prompt=a chair", f"{key}={value}"]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err
