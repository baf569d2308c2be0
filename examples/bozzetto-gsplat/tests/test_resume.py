"""Tests of a densifying run of the recipe: stopped before, at and after a change, it ends with the same tensors."""

from __future__ import annotations

from pathlib import Path

import bozzetto
import pytest
import torch
from bozzetto.testing.fakes import tiny_stable_diffusion

VIEWS, GEOMETRY = "system.tasks.random.views", "system.geometry"
SMALL = {
    **{f"{VIEWS}.{side}": 16 for side in ("height", "width", "eval_height", "eval_width")},
    f"{VIEWS}.batch_size": 2,
    f"{VIEWS}.resolution_milestones": [],
    **{f"{GEOMETRY}.{name}": value for name, value in {
        "count": 40, "densify_every": 2, "densify_from_step": 4, "densify_until_step": 7, "densify_share": 0.3,
        "prune_opacity": 0.099, "most_gaussians": 60,
    }.items()},
    "trainer.image_every": 0,
    **{f"export.{name}": None for name in ("mesh", "turntable", "splat-ply")},
}  # fmt: skip


def checkpoint(run: bozzetto.Run) -> dict:
    return torch.load(run.path / "checkpoints" / "main.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("resume")
    model = tiny_stable_diffusion(folder / "model")
    return {**SMALL, "system.tasks.random.guidance.model": str(model), "output": str(folder / "outputs")}


def trained(options: dict, steps: int) -> bozzetto.Run:
    settings = {**options, "trainer.steps": steps}
    return bozzetto.generate("a pear", recipe="bozzetto-gsplat/gsplat", profile="cpu", overrides=settings, report=str)


@pytest.fixture(scope="module")
def whole(options: dict) -> dict:
    return checkpoint(trained(options, 7))


@pytest.mark.parametrize("stop", [3, 4, 5])
def test_it_ends_with_the_same_tensors(options: dict, whole: dict, stop: int) -> None:
    run = trained(options, stop)
    count = len(checkpoint(run)["state_dict"]["geometry.position"])
    assert (count == 40) == (stop < 4)
    ended = checkpoint(bozzetto.resume(Path(run.path), overrides={"trainer.steps": 7}, report=str))
    assert len(ended["state_dict"]["geometry.position"]) not in (40, count)
    for name, value in whole["state_dict"].items():
        assert torch.equal(ended["state_dict"][name], value), name
    for index, state in whole["optimizer_states"][0]["state"].items():
        for name, value in state.items():
            assert torch.equal(ended["optimizer_states"][0]["state"][index][name], value), (index, name)
