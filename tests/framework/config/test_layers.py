"""Tests of merging recipe, profile and command line."""

import pytest

from bozzetto.config import layers
from bozzetto.errors import ConfigError


def test_overlay_merges_mappings_replaces_values_and_removes_null():
    base = {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 3}
    assert layers.overlay(base, {"a": {"y": 5}, "b": [9], "c": None}) == {"a": {"x": 1, "y": 5}, "b": [9]}


def test_another_type_drops_the_fields_of_the_old_one():
    base = {"geometry": {"type": "hash-grid", "levels": 8}}
    assert layers.overlay(base, {"geometry": {"type": "frequency-mlp"}}) == {"geometry": {"type": "frequency-mlp"}}
    same = layers.overlay(base, {"geometry": {"type": "hash-grid", "radius": 2}})
    assert same == {"geometry": {"type": "hash-grid", "levels": 8, "radius": 2}}


def test_a_bare_name_below_fields_is_a_type():
    assert layers.overlay({"g": "hash-grid"}, {"g": {"levels": 2}}) == {"g": {"type": "hash-grid", "levels": 2}}
    assert layers.overlay({"g": "hash-grid"}, {"g": {"type": "other"}}) == {"g": {"type": "other"}}


def test_overrides_are_typed_by_yaml_and_prompts_taken_by_the_letter():
    values = layers.parse_overrides(
        ["a.b=3", "a.c=1e-3", "a.d=[1, 2]", "a.e=true", "prompt=a cat: the {best}, [ever] # 1"]
    )
    assert values == {"a": {"b": 3, "c": 0.001, "d": [1, 2], "e": True}, "prompt": "a cat: the {best}, [ever] # 1"}


def test_null_on_the_command_line_removes():
    top = layers.parse_overrides(["losses.sparsity=null", "losses.sds=2"])
    assert layers.overlay({"losses": {"sparsity": 1, "sds": 1}}, top) == {"losses": {"sds": 2}}


@pytest.mark.parametrize("item", ["prompt", "=3", "--levels=3"])
def test_what_is_not_an_override_says_how_to_write_one(item):
    with pytest.raises(ConfigError, match="is not an override. Write key=value"):
        layers.parse_overrides([item])


def test_reading_errors(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: [1,")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(ConfigError, match=r"There is no recipe .*gone\.yaml\. .* holds: bad\.yaml, list\.yaml"):
        layers.read(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        layers.read(tmp_path / "bad.yaml")
    with pytest.raises(ConfigError, match="must hold a mapping"):
        layers.read(tmp_path / "list.yaml")


def test_interpolation_resolves_or_says_what_is_missing():
    assert layers.resolve({"a": 3, "b": "${a}"})["b"] == 3
    with pytest.raises(ConfigError, match="^b: .*nothing_here"):
        layers.resolve({"b": "${nothing_here}"})


def test_line_of_follows_keys_and_indices(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("name: x\nsystem:\n  geometry:\n    levels: 3\nplugins:\n- a\n- b\n")
    assert layers.line_of(path, ["system", "geometry", "levels"]) == 4
    assert layers.line_of(path, layers.key_parts("plugins[1]")) == 7
    assert layers.line_of(path, ["plugins", 2]) is None
    assert layers.line_of(path, ["system", "nothing"]) is None
    assert layers.line_of(path, ["name", "x"]) is None
    assert layers.key_parts("a.b[0][12].c") == ["a", "b", 0, 12, "c"]


def test_items_of_lists_have_numbers():
    values = {"a": {"b": [{"c": 1}, {"c": 2}]}}
    assert layers.value_at(values, "a.b.1.c") == 2
    assert layers.value_at(values, "a.b.2.c") is None and layers.value_at(values, "a.b.c") is None
    assert layers.with_value(values, "a.b.1.c", 3) == {"a": {"b": [{"c": 1}, {"c": 3}]}}
    assert values == {"a": {"b": [{"c": 1}, {"c": 2}]}}
