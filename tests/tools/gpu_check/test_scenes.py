"""Tests of the counted memory of scenes, and of the numbers per sample that the estimate of a dry run has."""

import pytest

from bozzetto.config.loading import load_recipe
from bozzetto.kernels.cpp import native
from bozzetto.kernels.first_order import CHUNK
from bozzetto_plugins.renderer.config import (
    EVALUATED_BYTES,
    EVALUATED_POINTS,
    SAMPLE_BYTES,
    SHADED_BYTES,
    SHADING_BYTES,
)
from gpu_check.recipes import CONFIGS
from gpu_check.scenes import checked, counted_scene, tiny_models


@pytest.fixture
def counted(registry, tmp_path):
    """Count a step of zero123 with a number of samples that are shaded at a time; return samples and bytes."""
    models = tiny_models(tmp_path)

    def count(size, training_samples):
        views = f"{{batch_size: 1, height: {size}, width: {size}, resolution_milestones: []}}"
        reference = "{height: 8, width: 8, resolution_milestones: []}"
        changes = [
            "image=docs/photos/chair.png", f"system.tasks.random.views={views}",
            f"system.tasks.reference.views={reference}", "system.geometry.levels_active=16",
            "system.tasks.random.losses.normal-smoothness-3d=null",  # evaluates points of its own
            "system.geometry.log2_table_size=14", "system.renderer.occupancy_resolution=16", f"system.renderer.training_samples={training_samples}",
        ]  # fmt: skip
        recipe = load_recipe(CONFIGS / "zero123.yaml", registry, changes, "cuda")
        row = counted_scene(recipe, recipe.stages[0], registry, models, 0)
        return row["samples"], row["scene_bytes"]

    return count


@pytest.mark.parametrize(("training_samples", "per_sample"), [(0, SHADED_BYTES + SHADING_BYTES), (4096, SAMPLE_BYTES)])
def test_the_bytes_of_a_sample_are_those_counted(counted, training_samples, per_sample):
    (few, less), (many, more) = counted(32, training_samples), counted(64, training_samples)
    assert (more - less) / (many - few) == pytest.approx(per_sample, rel=0.2)


def test_the_bytes_of_a_point_that_is_evaluated_are_those_counted(counted, monkeypatch):
    assert EVALUATED_POINTS == CHUNK
    monkeypatch.setattr(native, "fits", lambda *tensors: False)  # torch kernels
    (_, less), (_, more) = counted(16, 4000), counted(16, 12000)
    assert (more - less) / 8000 == pytest.approx(EVALUATED_BYTES, rel=0.2)


def test_a_row_has_the_first_and_the_last_resolution(registry, tmp_path):
    first, last = checked("zero123", registry, tmp_path, tiny=True)
    assert (first["at_step"], last["at_step"]) == (0, 300) and first["samples"] > 0
    assert first["scene_bytes"] > 0 and first["profile"] == "cuda" and first["recipe"] == "zero123"
