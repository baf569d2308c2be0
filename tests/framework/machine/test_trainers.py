"""Tests of the checks of GPUs and packages that a training asks for."""

from __future__ import annotations

import importlib.util

import pytest

from bozzetto.cli import main
from bozzetto.errors import ConfigError
from bozzetto.machine import trainers
from bozzetto.machine.accelerators import Accelerator
from bozzetto.machine.trainers import check_trainer

CPU, CUDA, MPS = (Accelerator(kind, "") for kind in ("cpu", "cuda", "mps"))


@pytest.fixture
def checked(tiny, monkeypatch):
    """Return a function that checks the trainer of the tiny recipe on a machine with two GPUs."""
    monkeypatch.setattr(trainers, "cuda_device_count", lambda: 2)

    def check(found, device="auto", **trainer):
        views = {"tasks": {"random": {"views": {"batch_size": 12}}}}
        recipe = tiny.recipe({"device": device, "trainer": trainer, "system": views})
        check_trainer(recipe, recipe.stages[0], found)

    return check


@pytest.mark.parametrize(
    ("found", "device", "count"),
    [(CPU, "auto", 12), (CUDA, "auto", 2), (CUDA, "cpu", 6), (CUDA, "cuda:1", 1), (MPS, "auto", 1), (CPU, "cuda", 2)],
)
def test_what_the_machine_has_is_accepted(checked, found, device, count):
    checked(found, device, devices=count)


@pytest.mark.parametrize(
    ("found", "device", "count", "told"),
    [
        (CUDA, "auto", 3, "each of 3 processes needs a GPU, and this machine has 2. Set trainer.devices=2"),
        (CUDA, "cuda:1", 2, "device is cuda:1. Set device=cuda"),
        (MPS, "auto", 2, "mps has one device, got 2"),
    ],
)
def test_what_it_lacks_is_refused(checked, found, device, count, told):
    with pytest.raises(ConfigError) as error:
        checked(found, device, devices=count)
    assert str(error.value).startswith("trainer.devices: ") and told in str(error.value)
    assert error.value.stage == "main"


def test_a_logger_without_its_package_names_the_command(checked, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else find(name))
    checked(CPU, loggers=["tensorboard"])
    with pytest.raises(ConfigError, match=r"trainer\.loggers: wandb needs .*pip install 'bozzetto\[wandb\]'"):
        checked(CPU, loggers=["tensorboard", "wandb"])


def test_check_refuses_views_that_cannot_be_divided(tiny, capsys):
    assert main(["check", str(tiny.recipe_file()), "trainer.devices=2"]) == 2
    told = capsys.readouterr().err
    assert "system.tasks.random.views.batch_size: must be a multiple of trainer.devices (2), got 1" in told


def test_kernels_of_a_package_that_is_not_here_are_refused_where_there_is_a_gpu(checked, monkeypatch):
    find = importlib.util.find_spec
    missing = ("warp", "nvdiffrast")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    checked(CUDA, kernels=["warp"])
    checked(CPU, kernels=["nvdiffrast", "warp"])
    with pytest.raises(
        ConfigError, match=r"trainer\.kernels: nvdiffrast is not installed; .*trainer\.kernels=\[warp\]"
    ):
        checked(CUDA, kernels=["nvdiffrast", "warp"])


def test_a_package_is_named_once(checked):
    with pytest.raises(ConfigError, match=r"kernels: must name each package once, got warp, warp"):
        checked(CPU, kernels=["warp", "warp"])
