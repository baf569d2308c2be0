"""Tests of the command `bozzetto convert`."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import yaml

from bozzetto.cli import main
from bozzetto.cli.report import header
from bozzetto.config.loading import load_recipe
from bozzetto.engine.run_folder import RunFolder
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.runs.start import plans_for
from bozzetto_convert.conversion_table import markdown

ROOT = Path(__file__).parents[3]
RECIPES = Path(__file__).parent / "threestudio"
PAGE = ROOT / "docs" / "from-threestudio.md"
MARK = "<!-- made by `bozzetto convert --table` -->\n"


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_recipe_goes_to_the_file_and_the_report_to_stderr(capsys, tmp_path):
    target = tmp_path / "ours.yaml"
    code, out, err = run(capsys, "convert", RECIPES / "zero123.yaml", "-o", target)
    assert code == 0 and out == ""
    assert "Not translated:" in err and "ref_or_zero123" in err and f"(next: bozzetto check {target})" in err
    ours = yaml.safe_load(target.read_text(encoding="utf-8"))
    assert ours["trainer"]["steps"] == 600 and ours["image"] == "./photos/chair_rgba.png" and "prompt" not in ours
    assert list(ours["system"]["tasks"]) == ["reference", "random"] and list(ours["profiles"]) == ["cuda", "cpu"]


def test_what_it_writes_passes_check(capsys, tmp_path):
    target = tmp_path / "ours.yaml"
    run(capsys, "convert", RECIPES / "dreamfusion.yaml", "-o", target)
    code, out, _ = run(capsys, "check", target)
    assert code == 0 and "ok: the recipe is valid" in out


def test_without_a_file_it_prints(capsys):
    recipe = RECIPES / "magic3d-coarse.yaml"
    code, out, _ = run(capsys, "convert", recipe, "system.prompt_processor.prompt=a red chair")
    assert code == 0 and yaml.safe_load(out)["prompt"] == "a red chair"


def test_two_recipes_are_two_stages(capsys):
    code, out, _ = run(capsys, "convert", RECIPES / "magic3d-coarse.yaml", RECIPES / "magic3d-refine.yaml")
    assert code == 0 and list(yaml.safe_load(out)["stages"]) == ["magic3d-coarse", "magic3d-refine"]


def test_recipes_of_one_name_are_stages_with_numbers(capsys):
    recipe = RECIPES / "magic3d-coarse.yaml"
    code, out, _ = run(capsys, "convert", recipe, recipe, RECIPES / "magic3d-refine.yaml", recipe)
    ours = yaml.safe_load(out)
    names = ["magic3d-coarse", "magic3d-coarse-2", "magic3d-refine", "magic3d-coarse-3"]
    assert code == 0 and list(ours["stages"]) == names and list(ours["profiles"]["cpu"]["stages"]) == names


def test_folders_are_made(capsys, tmp_path):
    target = tmp_path / "new" / "folder" / "ours.yaml"
    assert run(capsys, "convert", RECIPES / "magic3d-coarse.yaml", "-o", target)[0] == 0 and target.is_file()


def test_a_stand_in_is_said_again_by_check_and_by_run(capsys, tmp_path):
    values = yaml.safe_load((RECIPES / "magic3d-coarse.yaml").read_text(encoding="utf-8"))
    values["system"] |= {"guidance_type": "controlnet-guidance", "geometry_type": "volume-grid"}
    theirs, target, kept = tmp_path / "theirs.yaml", tmp_path / "ours.yaml", tmp_path / "runs"
    theirs.write_text(yaml.safe_dump(values), encoding="utf-8")
    run(capsys, "convert", theirs, "system.prompt_processor.prompt=a red chair", "-o", target)
    said = yaml.safe_load(target.read_text(encoding="utf-8"))["stand_ins"]
    assert {line.split(":")[0] for line in said} >= {
        "system.geometry_type volume-grid", "system.guidance_type controlnet-guidance",
    }  # fmt: skip
    code, out, _ = run(capsys, "check", target)
    assert code == 0 and all(f"notice    {line}" in out for line in said)
    assert out.rstrip().endswith("ok: the recipe is valid; parts of it only stand in or are lost, see the notices")
    registry = Registry.discover(installed_sources({}))
    recipe = load_recipe(target, registry)
    assert [f"notice    {line}" for line in said] == header(recipe, plans_for(recipe, registry), "ours.yaml")[
        -len(said) :
    ]
    folder = RunFolder.create(replace(recipe, output=str(kept)), ["test"], {})
    assert yaml.safe_load(folder.recipe_file.read_text(encoding="utf-8"))["stand_ins"] == said


def test_keys_that_are_lost_are_said_again_by_check_also_of_stages(capsys, tmp_path):
    values = yaml.safe_load((RECIPES / "magic3d-coarse.yaml").read_text(encoding="utf-8"))
    values["system"]["loss"] |= {"lambda_z_variance": 1.0, "lambda_convex": 2.0}
    theirs, target = tmp_path / "theirs.yaml", tmp_path / "ours.yaml"
    theirs.write_text(yaml.safe_dump(values), encoding="utf-8")
    run(capsys, "convert", theirs, "-o", target)
    _, out, _ = run(capsys, "check", target, "prompt=a red chair")
    (said,) = [line for line in out.splitlines() if line.startswith("notice    not translated from threestudio: ")]
    assert said.endswith("system.loss.lambda_convex, system.loss.lambda_z_variance")
    assert out.rstrip().endswith("parts of it only stand in or are lost, see the notices")
    run(capsys, "convert", theirs, RECIPES / "magic3d-refine.yaml", "-o", target)
    _, out, _ = run(capsys, "check", target, "prompt=a red chair")
    (said,) = [line for line in out.splitlines() if line.startswith("notice    not translated from threestudio: ")]
    assert "magic3d-coarse: system.loss.lambda_z_variance" in said.split(": ", 1)[1].split(", ")


def test_what_is_no_recipe_of_theirs_is_exit_code_2(capsys, tmp_path):
    ours = ROOT / "configs" / "dreamfusion-sd.yaml"
    for arguments, message in (
        ([ours], "is a recipe of this project already"),
        ([tmp_path / "nothing.yaml"], "There is no recipe"),
        ([], "Which recipe?"),
    ):
        code, out, err = run(capsys, "convert", *arguments)
        assert code == 2 and out == "" and err.startswith("error: ") and message in err


def test_it_imports_no_torch():
    recipe = str(RECIPES / "dreamfusion.yaml")
    code = (
        f"import sys; from bozzetto.cli import main; sys.exit(main(['convert', {recipe!r}]) or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_tables_of_the_page_are_up_to_date(registry):
    shown = PAGE.read_text(encoding="utf-8").split(MARK)[1]
    cure = f"Replace what follows the mark in {PAGE.name} with the output of: bozzetto convert --table"
    assert shown.strip() == markdown(registry).strip(), cure
