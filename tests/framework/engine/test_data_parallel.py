"""Tests of training in two processes on a CPU: the same result as in one, files of the first only, ends of either."""

from __future__ import annotations

import csv

import pytest
import torch

from bozzetto.engine.pipeline import load_state
from bozzetto.engine.run_folder import RunFolder

pytestmark = pytest.mark.slow

VIEWS = {"tasks": {"random": {"views": {"batch_size": 4}}}}


def recipe_of(tiny, devices, steps=4, **system):
    trainer = {"steps": steps, "devices": devices, "image_every": 0, "checkpoint_every": 2}
    return tiny.recipe({"trainer": trainer, "system": {**VIEWS, **system}, "export": None})


def trained(tiny, recipe, folder=None):
    """Train the first stage, and return the run folder and its tensors."""
    pipeline = tiny.pipeline(recipe, folder)
    pipeline.train(recipe, 0)
    return pipeline.folder, load_state(pipeline.folder.checkpoint("main"))


def test_two_processes_end_where_one_does_also_after_a_resume(tiny):
    _, alone = trained(tiny, recipe_of(tiny, 1))
    folder, _ = trained(tiny, recipe_of(tiny, 2, steps=2))
    again = recipe_of(tiny, 2)
    folder.write_recipe(again)
    folder, together = trained(tiny, again, RunFolder.existing(folder.path))
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name].float(), value.float(), rtol=1e-3, atol=1e-5)
    rows = list(csv.DictReader((folder.metrics / "main.csv").open()))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert folder.manifest["stages"]["main"]["steps"] == 4
