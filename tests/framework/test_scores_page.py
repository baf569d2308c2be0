"""Tests of docs/scores.md: its YAML is what the recipes say, and its code passes the contract of scores."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from bozzetto.config import yaml_text
from bozzetto.config.loading import load_recipe
from bozzetto.kinds.trainable import Trainable

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
METHODS = dict(re.findall(r"^### ([\w-]+)\n.*?```yaml score\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_recipe_of_a_score_is_on_the_page():
    recipes = {path.stem for path in (ROOT / "configs").glob("*.yaml") if "extends: sds" in path.read_text()}
    assert set(METHODS) == recipes


@pytest.mark.parametrize("name", METHODS)
def test_the_lines_of_a_method_make_the_recipes_score(name, registry, tmp_path):
    shipped = load_recipe(ROOT / "configs" / f"{name}.yaml", registry, profile="cuda")
    task = {"score": yaml_text.parse(METHODS[name], name)}
    if name in ("fsd", "luciddreamer-ism", "sdi"):
        task["guidance"] = {"encode": "mode"}
    values = {"extends": "bozzetto/sds", "system": {"tasks": {"random": task}}}
    if name == "debiased":
        values["system"]["prompt_processor"] = {"type": "debiased", "model": "bert-base-uncased"}
    if name == "perp-neg":
        values["system"]["prompt_processor"] = {"negatives": True}
    assert scores(values, registry, tmp_path) == [task.score.config for task in shipped.stages[0].tasks]


def test_the_first_lines_are_the_recipe_sds(registry, tmp_path):
    (text,) = re.findall(r"```yaml recipe\n(.*?)```", PAGE, re.DOTALL)
    shipped = load_recipe(ROOT / "configs" / "sds.yaml", registry, profile="cuda")
    values = yaml_text.parse(text, "page")
    assert scores(values, registry, tmp_path) == [task.score.config for task in shipped.stages[0].tasks]


def test_every_block_of_the_page_is_executed_by_a_test():
    """Those of the recipe and of the methods here, that of a photo in test_scores_of_packages.py; code below."""
    text = PAGE.split("<!-- scores: measured -->")[0] + PAGE.split("<!-- scores: end -->")[1]
    kinds = re.findall(r"^```(.*)\n(?:.*\n)*?```$", text, re.MULTILINE)
    assert set(kinds) == {
        "yaml recipe",
        "yaml score",
        "yaml groups",
        "yaml families",
        "yaml photo",
        "yaml editing",
        "python",
    }
    assert kinds.count("python") == len(CODE) and kinds.count("yaml score") == len(METHODS)


def test_the_lines_of_groups_are_a_recipe(registry, tmp_path):
    (text,) = re.findall(r"```yaml groups\n(.*?)```", PAGE, re.DOTALL)
    (config,) = scores({"extends": "bozzetto/sds", **yaml_text.parse(text, "page")}, registry, tmp_path)
    assert config.guider.rescale_over == config.timesteps.shared == "group"


def test_the_lines_of_families_are_the_recipe_of_sdxl(registry, tmp_path):
    (text,) = re.findall(r"```yaml families\n(.*?)```", PAGE, re.DOTALL)
    values = {"extends": "bozzetto/dreamfusion-sdxl", **yaml_text.parse(text, "page")}
    shipped = load_recipe(ROOT / "configs" / "dreamfusion-sdxl.yaml", registry, profile="cuda")
    assert scores(values, registry, tmp_path) == [task.score.config for task in shipped.stages[0].tasks]


def test_the_lines_of_editing_make_a_score_of_the_recipe(registry, tmp_path):
    (text,) = re.findall(r"```yaml editing\n(.*?)```", PAGE, re.DOTALL)
    values = {"extends": "bozzetto/edit-ip2p", **yaml_text.parse(text, "page")}
    (config,) = scores(values, registry, tmp_path)
    assert config.branches == {"cond", "image", "uncond"}


def scores(values, registry, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    return [task.score.config for task in load_recipe(path, registry, profile="cuda").stages[0].tasks]


NAMES: dict[str, type] = {}
exec(compile("\n".join(CODE), "docs/scores.md", "exec"), NAMES)


class TestTheScoreOfThePage(NAMES["TestHalfway"]):
    """The contract, of the code on the page."""


class TestTheTrainedScoreOfThePage(NAMES["TestHalfway"]):
    """The contract, and that what it trains approaches what it measures."""

    def make(self):
        return NAMES["Centred"]()

    def test_it_is_trained(self):
        score = self.make()
        assert isinstance(score, Trainable)
        guided, _ = self.guide(score)
        (usual,) = score.trainable().parameters()
        assert guided.fit() > 0.0 and usual.grad is None
        guided.fit().backward()
        assert usual.grad != 0.0
