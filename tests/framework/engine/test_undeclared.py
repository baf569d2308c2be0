"""Tests that stages whose configs declare no parameters are built before the first one trains."""

import pytest
import torch

from bozzetto.engine.undeclared import check_undeclared
from bozzetto.errors import ConfigError
from bozzetto_plugins.geometry.config import HashGridConfig

CPU = torch.device("cpu")
RATES = {"system": {"optimizer": {"lr_of": {"geometry.encodng": 0.1}}}}
FINER = {"inherit": ["geometry"], "system": {"geometry": {"levels": 3}}}


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (RATES, r"lr_of\.geometry\.encodng matches no parameter\. Did you mean 'geometry\.encoding'"),
        (FINER, r"stages\.late\.inherit: geometry cannot start from stage 'early': density_network"),
    ],
)
def test_what_no_config_declares_is_told_before_training(tiny, registry, monkeypatch, stage, message):
    monkeypatch.delattr(HashGridConfig, "parameter_specs")
    recipe = tiny.recipe({"stages": {"early": {}, "late": stage}})
    with pytest.raises(ConfigError, match=message):
        check_undeclared(recipe, registry, CPU)


def test_a_recipe_whose_parameters_are_declared_builds_nothing(tiny, registry, monkeypatch):
    recipe = tiny.recipe({"stages": {"early": {}, "late": {"inherit": ["geometry"]}}})
    monkeypatch.setattr("bozzetto.engine.undeclared.build_scene", lambda *arguments: pytest.fail("a scene was built"))
    check_undeclared(recipe, registry, CPU)
