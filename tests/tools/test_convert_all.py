"""Tests that the tool converts and checks a folder of recipes."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "tests" / "plugins" / "bozzetto_convert" / "threestudio"


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(ROOT / "tools" / "convert_all.py"))


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_recipe_that_check_accepts_trains_two_steps_with_the_bundled_priors(tool, path, tmp_path):
    result = tool["try_one"](path, tmp_path, tool["PHOTO"], True)
    assert (result.converted, result.checked, result.trained) == ("ok", "ok", "ok")


def test_it_counts_and_fails_where_one_does_not_convert(tool, tmp_path, monkeypatch, capsys):
    (tmp_path / "bad.yaml").write_text("system_type: dreamfusion-system\nsystem: {geometry_type: [1]}\n")
    (tmp_path / "other.yaml").write_text("a: 1\n")
    monkeypatch.setattr(sys, "argv", ["convert_all.py", str(tmp_path)])
    assert tool["main"]() in (0, 1)
    assert "recipes: 1, converted:" in capsys.readouterr().out
