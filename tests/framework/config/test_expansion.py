"""Tests that exponentially growing interpolations are refused before they are resolved."""

import pytest

from bozzetto.config import layers
from bozzetto.errors import ConfigError


def doubled(levels):
    values = {"x0": "aaaaaaaaaa"}
    return {**values, **{f"x{i}": f"${{x{i - 1}}}${{x{i - 1}}}" for i in range(1, levels + 1)}}


def nested(levels):
    values = {"x0": [1, 2]}
    return {**values, **{f"x{i}": [f"${{x{i - 1}}}", f"${{.0}}${{x{i - 1}}}"] for i in range(1, levels + 1)}}


def test_what_stays_small_is_followed():
    assert len(layers.resolve(doubled(10))["x10"]) == 10 * 2**10
    assert layers.resolve({"a": {"b": "${.c}", "c": [1, "${d}"]}, "d": 2}) == {"a": {"b": [1, 2], "c": [1, 2]}, "d": 2}


@pytest.mark.parametrize("values", [doubled(40), nested(60), {"a": {"b": ["${a.c}"] * 2000, "c": "x" * 10_000}}])
def test_what_blows_up_is_refused(values):
    with pytest.raises(ConfigError, match="its interpolations make more than 10000000 of it"):
        layers.resolve(values)


def test_a_chain_without_end_is_refused():
    with pytest.raises(ConfigError, match="more than 100 interpolations lead to one another"):
        layers.resolve({f"x{i}": f"${{x{i + 1}}}" for i in range(300)})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": "${a}"}, "^a: Recursive interpolation detected"),
        ({"a": "${b}", "b": "${a}"}, "^a: Recursive interpolation detected"),
        ({"a": {"b": "${a}"}}, r"^a\.b: Interpolation to parent node detected"),
    ],
)
def test_a_circle_is_an_error_of_the_recipe(values, message):
    with pytest.raises(ConfigError, match=message):
        layers.resolve(values)
