"""Tests of the timing of each part of a small training step."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from bozzetto.engine.system import Roots
from bozzetto_bench.measure import Thoroughness, recipe_step, sweep
from bozzetto_bench.report import shaded_line, step_table, step_values
from bozzetto_bench.steps import PRIOR, SCENE, StepTimes, system_without_prior, time_steps

CPU = torch.device("cpu")


def test_parts_make_up_the_step(tiny) -> None:
    system = tiny.system(tiny.recipe())
    backward, update = Roots.backward, type(system.renderer).update
    times = time_steps(system, 1)
    assert sum(times.parts.values()) == pytest.approx(times.whole)
    assert set(times.parts) <= {*PRIOR, *SCENE}
    assert {"prior: encode", "prior: denoise", "prior: backward", "render", "backward", "optimiser"} <= set(times.parts)
    assert all(seconds > 0 for seconds in times.parts.values())
    assert times.rays == 256 and times.samples > 0 and 1 <= times.samples_per_hit <= 16
    assert 0 < times.scene_share < 1
    assert Roots.backward is backward and "update" not in vars(system.renderer)
    assert type(system.renderer).update is update and not system.renderer._forward_hooks


@pytest.mark.parametrize("form", ["target", "backward"])
def test_without_the_prior_nothing_is_denoised(tiny, form: str) -> None:
    recipe = tiny.recipe({"system": {"tasks": {"random": {"guidance": {"sds_form": form}}}}})
    system = system_without_prior(recipe, tiny.registry, CPU)
    before = [parameter.detach().clone() for parameter in system.parameters()]
    times = time_steps(system, 2, warm_up=1)
    assert not {"prior: encode", "prior: denoise", "prior: rest"} & set(times.parts)
    assert any(not torch.equal(one, other) for one, other in zip(before, system.parameters(), strict=True))


def test_a_recipe_is_measured_with_and_without_its_prior(tiny, small: Thoroughness) -> None:
    whole, bare = recipe_step(tiny.recipe(), tiny.registry, {str(tiny.model): tiny.model}, CPU, small)
    assert "prior: denoise" in whole.parts and "prior: denoise" not in bare.parts


def test_the_sweep_visits_every_combination(tiny, small: Thoroughness) -> None:
    points = sweep(lambda changes: tiny.recipe(overrides=list(changes)), tiny.registry, CPU, small)
    assert sorted({point.rays for point in points}) == [64, 144] and len(points) == 4
    assert points[1].samples > points[0].samples


def test_reports() -> None:
    parts = {"prior: denoise": 0.06, "prior: backward": 0.02, "render": 0.05, "backward": 0.07}
    times = StepTimes(0.2, parts, 4096, 20000.0, 70.0)
    assert times.scene_share == pytest.approx(0.6)
    text = step_table(times, StepTimes(0.1, parts, 4096, 20000.0, 70.0))
    assert "120.0" in text and "60 %" in text and "50 %" in text and "4096 rays" in text
    assert step_values(times)["scene_share"] == pytest.approx(0.6)
    line = shaded_line("some grid", times)
    assert "some grid: 0.200 s, 20000 samples, 70 on a ray that hits." in line
    assert "quoted and not measured here: 25.6 s, 128 times as long." in line
    assert "(fewer than the 64 meant)" in shaded_line("", dataclasses.replace(times, samples_per_hit=50.0))
