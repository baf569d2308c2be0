"""Tests that the JSON schema agrees with the loader."""

import json
import re
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from bozzetto import ComponentSpec, hookimpl
from bozzetto.config.schema import recipe_schema
from bozzetto.math.schedules import Schedule
from bozzetto.registry.discovery import Registry, Source, installed_sources

RECIPES = sorted(Path(__file__).parents[3].glob("configs/*.yaml"))


@dataclass(frozen=True)
class BoxyConfig:
    """Config with fields of every kind."""

    sides: tuple[int, int, int] = (1, 2, 3)
    """Three whole numbers."""
    weight: Schedule = Schedule.constant(1.0)
    """A schedule."""
    by_name: dict[str, float] = field(default_factory=dict)
    """Numbers by name."""
    limit: int | None = None
    """A number or null."""


@pytest.fixture(scope="module")
def schema():
    module = types.ModuleType("fake_boxy")
    spec = ComponentSpec("geometry", "boxy", f"{__name__}:BoxyConfig", f"{__name__}:BoxyConfig", "Boxes.")
    module.bozzetto_components = hookimpl(lambda: [spec])
    module.bozzetto_components.__name__ = "bozzetto_components"
    sys.modules["fake_boxy"] = module
    sys.modules.setdefault(__name__, sys.modules.get(__name__) or types.ModuleType(__name__))
    sys.modules[__name__].BoxyConfig = BoxyConfig
    yield recipe_schema(Registry.discover([*installed_sources({}), Source("boxy", "1.0", "main", "fake_boxy")]))
    del sys.modules["fake_boxy"]


@pytest.fixture(scope="module")
def fits(schema):
    """Return `fits(recipe)`: whether a recipe satisfies the schema, which must itself be valid in draft 7."""
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema).is_valid


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_fits(fits, path):
    assert fits(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("recipe", "good"),
    [
        ({"system": {"geometry": "hash-grid"}}, True),
        ({"system": {"geometry": {"type": "hash-grid", "levels": 3}}}, True),
        ({"system": {"geometry": {"type": "bozzetto/hash-grid", "levels": "${seed}"}}}, True),
        ({"system": {"geometry": {"levels": 3}}}, True),
        ({"system": {"geometry": {"type": "hash-grid", "levels": 33}}}, False),
        ({"seed": -1}, False),
        ({"system": {"renderer": {"type": "volume", "occupancy_threshold": 1.0}}}, False),
        ({"system": {"geometry": {"type": "hash-grid", "levles": 3}}}, False),
        ({"system": {"geometry": {"type": "hash-grid", "levels": "three"}}}, False),
        ({"system": {"geometry": {"type": "hash-grid", "interpolation": "cubic"}}}, False),
        ({"system": {"geometry": {"type": "hash-gird"}}}, False),
        ({"system": {"geometry": "hash-gird"}}, False),
        ({"system": {"geometry": {"type": "boxy", "sides": [1, 2, 3], "by_name": {"a": 1.5}, "limit": None}}}, True),
        ({"system": {"geometry": {"type": "boxy/boxy", "weight": {"from": 1, "to": 2, "until_step": 5}}}}, True),
        ({"system": {"geometry": {"type": "boxy", "sides": [1, 2]}}}, False),
        ({"system": {"geometry": {"type": "boxy", "weight": {"from": 1, "to": 2}}}}, False),
        (
            {
                "system": {
                    "tasks": {"any": {"losses": {"sds": 1, "orientation": {"from": 0, "to": 1, "until_step": 9}}}}
                }
            },
            True,
        ),
        ({"system": {"tasks": {"any": {"losses": {"normal-smoothness-3d": {"weight": 2, "epsilon": 0.1}}}}}}, True),
        ({"system": {"tasks": {"any": {"losses": {"normal-smoothness-3d": {"epsilom": 0.1}}}}}}, False),
        ({"system": {"tasks": {"any": {"views": {"type": "orbit"}, "guidence": {}}}}}, False),
        ({"system": {"optimizer": {"lr_of": {"background": 0.1}, "clip_norm": None}}}, True),
        ({"export": {"mesh": {"texture_size": 64}, "again": {"type": "mesh"}}}, True),
        ({"export": {"mesh": {"texture_siez": 64}}}, False),
        ({"extends": "dreamfusion-sd", "profiles": {"cuda": None, "cpu": {"trainer": {"steps": 3}}}}, True),
        ({"profiles": {"cpu": {"trainer": {"steps": "many"}}}}, False),
        ({"stages": {"fine": {"inherit": ["geometry"], "trainer": {"steps": 3}}}}, True),
        ({"stages": {"fine": {"inherit": ["renderer"]}}}, False),
        ({"plugins": ["bozzetto-blocky>=1.2"], "seed": 3, "prompt": "???"}, True),
        ({"seed": True}, False),
        ({"promt": "a chair"}, False),
    ],
)
def test_what_the_loader_takes_fits_and_what_it_refuses_does_not(fits, recipe, good):
    assert fits(recipe) == good


def test_fields_carry_their_meaning_and_default(schema):
    levels = schema["definitions"]["geometry.hash-grid"]["properties"]["levels"]
    assert levels["description"] == "Number of resolutions of the grid." and levels["default"] == 16
    assert schema["definitions"]["recipe"]["properties"]["extends"]["description"].startswith("Recipe that this one")


def test_it_is_json_and_every_reference_is_there(schema):
    text = json.dumps(schema)
    used = set(re.findall(r'"#/definitions/([^"]+)"', text))
    assert used and used <= set(schema["definitions"]) and "Infinity" not in text and "NaN" not in text
