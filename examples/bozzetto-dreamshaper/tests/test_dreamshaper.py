"""Tests that the alias refers to the declared weights. No network."""

import bozzetto
import pytest
from bozzetto.errors import ModelError

from bozzetto_dreamshaper.manifest import bozzetto_models

MODEL = "system.tasks.random.guidance.model"


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow downloads, which a check does not start."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def test_the_recipe_means_the_declared_weights() -> None:
    recipe = bozzetto.check("bozzetto-dreamshaper/dreamshaper", profile="cuda")
    assert recipe.stages[0].tasks[0].guidance.model == "dreamshaper-8"
    assert recipe.aliases == {"dreamshaper-8": "bozzetto-dreamshaper"}


@pytest.mark.parametrize("name", ["dreamshaper-8", "bozzetto-dreamshaper/dreamshaper-8"])
def test_other_recipes_may_name_it(name: str) -> None:
    recipe = bozzetto.check("dreamfusion-sd", overrides={MODEL: name}, profile="cuda")
    assert recipe.stages[0].tasks[0].guidance.model == name


def test_offline_the_repository_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (spec,) = bozzetto_models()
    with pytest.raises(ModelError, match=f"download by hand: hf download {spec.repositories[0]} "):
        bozzetto.check("bozzetto-dreamshaper/dreamshaper", profile="cuda")
