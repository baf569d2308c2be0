"""Tests of the steps of scores with a cost of their own, tiny, and of their comparison with SDS."""

import pytest
import torch

from bozzetto.machine.accelerators import Accelerator
from gpu_check import scores, steps
from gpu_check.models import text_model

CPU = torch.device("cpu")


@pytest.mark.parametrize("score", ["ism", "sdi", "vsd"])
def test_a_step_of_each_score_is_measured(registry, tmp_path, score):
    if score == "vsd":
        pytest.importorskip("peft")
    model = text_model(tmp_path / "model", full=False)
    row = scores.checked(score, registry, model, tmp_path, Accelerator("cpu", "a test"), CPU, tiny=True, steps=1)
    assert "error" not in row, row["error"]
    assert row["finite"] and row["s_per_step"] > 0.0 and row["recipe"] == scores.SCORES[score]


def test_seconds_are_told_as_a_multiple_of_those_of_sds():
    rows = [{"score": "sds", "s_per_step": 0.5}, {"score": "ism", "s_per_step": 2.0}, {"score": "vsd", "error": "no"}]
    assert [row.get("times_sds") for row in scores.compared(rows)] == [1.0, 4.0, None]
    assert scores.compared(rows[1:]) == rows[1:]


def test_steps_are_measured_at_the_last_resolution_of_a_recipe(tiny):
    recipe = tiny.recipe({"system": {"tasks": {"random": {"views": {
        "height": [8, 16], "width": [8, 16], "resolution_milestones": [50],
    }}}}})  # fmt: skip
    seen = []

    class Fake:
        done = 0
        system = type("Told", (), {"metrics": {"gradient_norm": 1.0}})

        def step(self):
            seen.append(self.done)
            self.done += 1

        def run(self, last, observers):
            while self.done < last:
                self.step()

    row = steps.measured(recipe.stages[0], Fake(), 2, CPU)
    assert seen == [0, 50, 51, 52] and row["at_step"] == 50 and row["finite"]
