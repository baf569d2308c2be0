"""The list of threestudio's recipes on the page, from their settings; and the tool that writes it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml

from bozzetto.cli.report import plan_report
from bozzetto.config.binding import REQUIRED
from bozzetto.config.loading import load_recipe
from bozzetto.runs.start import plans_for
from bozzetto_convert.draft import LOST
from bozzetto_convert.recipe_yaml import to_yaml

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "threestudio_recipes.py"))
FACTS = yaml.safe_load(TOOL["FACTS"].read_text(encoding="utf-8"))
RECIPES = TOOL["expanded"](FACTS)
PAGE = TOOL["PAGE"].read_text(encoding="utf-8")
LIST = PAGE.split(TOOL["BEGIN"])[1].split(TOOL["END"])[0].splitlines()[2:]
METHODS = (
    "sjc", "hifa", "sdi", "magic123-hifa-coarse-sd", "prolificdreamer-texture", "instructnerf2nerf", "latentnerf",
    "latentnerf-refine", "experimental/textmesh-if-importance",
)  # fmt: skip
"""Recipes of different methods."""


def test_all_recipes_are_listed_by_name():
    assert len(RECIPES) == 55 and [line.split("`")[1] for line in LIST] == sorted(RECIPES)


@pytest.mark.parametrize("line", LIST, ids=[line.split("`")[1] for line in LIST])
def test_each_recipe_converts_to_its_line_and_loads_in_both_profiles(line, tmp_path, registry):
    name = line.split("`")[1]
    made = TOOL["row"](name, TOOL["draft_of"](RECIPES[name], tmp_path, registry), registry)
    assert made == line, "Run: python tools/threestudio_recipes.py"
    assert made.endswith("| yes |")


@pytest.mark.parametrize("line", LIST, ids=[line.split("`")[1] for line in LIST])
def test_check_repeats_what_the_list_says_is_lost(line, tmp_path, registry):
    draft, ours = TOOL["draft_of"](RECIPES[line.split("`")[1]], tmp_path, registry), tmp_path / "ours.yaml"
    ours.write_text(to_yaml(draft), encoding="utf-8")
    open_ = [f"{path}=given later" for path, made in draft.lines.items() if made.value == REQUIRED]
    recipe = load_recipe(ours, registry, open_, "cpu")
    report = plan_report(recipe, plans_for(recipe, registry))
    said = [text.removeprefix("notice    ") for text in report.splitlines() if text.startswith("notice    ")]
    (keys,) = [text.partition(": ")[2].split(", ") for text in said if text.startswith(LOST)] or [[]]
    names = [key.removeprefix("system.") for key in keys]
    types = {text.partition(":")[0].removeprefix("system.") for text in said if not text.startswith(LOST)}
    lost = line.split(" | ")[2]
    for item in filter(lambda item: item != "nothing", re.split("[;,] ", lost)):
        name = item.split("`")[1]
        if found := re.match(r"(\d+) keys of ", item):
            assert len([one for one in names if one.startswith(f"{name}.")]) == int(found[1])
        else:
            assert name in names or any(name in one.split() for one in (*types, *names)), (name, said)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_each_method_trains_two_steps_with_the_bundled_prior(name, tmp_path):
    train = runpy.run_path(str(ROOT / "tools" / "convert_all.py"))
    path = tmp_path / "theirs.yaml"
    path.write_text(yaml.safe_dump(TOOL["nested"](RECIPES[name]), sort_keys=False), encoding="utf-8")
    result = train["try_one"](path, tmp_path, train["PHOTO"], True)
    assert (result.converted, result.checked, result.trained) == ("ok", "ok", "ok")


def test_settings_are_compressed_without_loss():
    first = {"system_type": "a", "system/optimizer/params/geometry.encoding/lr": 0.01, "data/width": 64}
    recipes = {
        TOOL["FIRST"]: first,
        "far": {"system_type": "b"},
        "near": {**first, "data/width": 64.0},
        "nearer": {"system_type": "a", "data/width": 64.0},
    }
    made = TOOL["compressed"](recipes)
    assert TOOL["expanded"](made) == recipes and made["near"] == {"like": TOOL["FIRST"], "data/width": 64.0}
    assert made["nearer"] == {"like": "near", "without": ["system/optimizer/params/geometry.encoding/lr"]}


def test_leaves_keep_dots_of_keys_and_drop_texts_and_logs():
    params = {"geometry.encoding": {"lr": 0.01}}
    values = {
        "name": "theirs", "system": {"loggers": {"wandb": {"enable": False}}, "optimizer": {"params": params},
        "prompt_processor": {"prompt": "a secret", "negative_prompt": ""}, "material": {}},
    }  # fmt: skip
    leaves = TOOL["flat"](values)
    assert leaves == {
        "system/optimizer/params/geometry.encoding/lr": 0.01, "system/prompt_processor/prompt": "a chair",
        "system/prompt_processor/negative_prompt": "", "system/material": {},
    }  # fmt: skip
    assert TOOL["nested"](leaves)["system"]["optimizer"]["params"] == params
