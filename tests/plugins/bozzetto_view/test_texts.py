"""Tests of the page's texts, fields and curves."""

import numpy as np
import pytest

from bozzetto_view.curves import MOST_POINTS, curves_of
from bozzetto_view.fields import fields_of, text_of, value_of
from bozzetto_view.texts import duration, escaped


def test_letters_of_users_are_no_markup():
    assert escaped("<img src=x> {1+1} *a* [b](c)\n# d") == r"\<img src=x\> \{1\+1\} \*a\* \[b\]\(c\) \# d"


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.2, "3 s"), (89.0, "89 s"), (90.0, "2 min"), (3600.0, "60 min"), (12_000.0, "3 h 20 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_the_fields_of_a_stage_and_their_values(tiny):
    recipe = tiny.recipe({"system": {"optimizer": {"lr": {"from": 0.02, "to": 0.01, "until_step": 9}}}})
    found = {field.key: field.text for field in fields_of(recipe, recipe.stages[0])}
    assert found["prompt"] == "a hamburger" and found["system.tasks.random.guidance.cfg_scale"] == "5.0"
    assert found["system.tasks.random.views.elevation_deg"].startswith("[")
    assert value_of("system.optimizer.lr", found["system.optimizer.lr"])["until_step"] == 9
    for key, text in found.items():
        if key not in ("prompt", "negative_prompt"):
            assert text_of(value_of(key, text)) == text
            tiny.recipe(overrides=[f"{key}={text}"])


def test_values_are_yaml_and_letters_are_letters():
    assert value_of("prompt", "a: [b") == "a: [b" and value_of("x", "[10, 45]") == [10, 45]
    with pytest.raises(ValueError, match="is not a YAML value"):
        value_of("x", "[1")


def test_curves_have_the_finite_numbers_of_a_file(tmp_path):
    path = tmp_path / "main.csv"
    assert curves_of(path) == {}
    path.write_text("step,a,b,c\n1,2.0,,x\n2,nan,3.5,\n3,4.0,inf,\n")
    found = curves_of(path)
    assert list(found) == ["a", "b"]
    assert [list(values) for values in found["a"]] == [[1.0, 3.0], [2.0, 4.0]]
    path.write_text("step,a\n" + "".join(f"{step},{step}.5\n" for step in range(5000)))
    steps, values = curves_of(path)["a"]
    assert len(steps) <= MOST_POINTS and steps[0] == 0 and steps[-1] == 4999 and np.array_equal(values, steps + 0.5)
