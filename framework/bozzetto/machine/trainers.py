"""Checks before a run that this machine has the GPUs and packages that the training of a stage asks for. No torch."""

from __future__ import annotations

import importlib.util

from bozzetto.errors import ConfigError
from bozzetto.kernels.settings import Package
from bozzetto.machine.accelerators import Accelerator, cuda_device_count
from bozzetto.recipe import Recipe, Stage

LOGGERS = {"tensorboard": ("tensorboard", "tensorboard"), "wandb": ("wandb", "'bozzetto[wandb]'")}
"""Package that a logger imports, and what pip installs it with."""


def check_trainer(recipe: Recipe, stage: Stage, found: Accelerator) -> None:
    """Raise `ConfigError` if the training of a stage asks for GPUs or packages that are missing here.

    Args:
        found: what `device: auto` means.
    """
    try:
        _check_devices(stage.trainer.devices, recipe.device, found)
        _check_loggers(stage.trainer.loggers)
        device = found.kind if recipe.device == "auto" else recipe.device
        _check_kernels(stage.trainer.kernels, device.startswith("cuda"))
    except ConfigError as error:
        error.stage = stage.name
        raise


def _check_devices(count: int, wanted: str, found: Accelerator) -> None:
    device = found.kind if wanted == "auto" else wanted
    kind, _, number = device.partition(":")
    if count == 1 or kind == "cpu":
        return
    if kind != "cuda":
        raise ConfigError(f"trainer.devices: {kind} has one device, got {count}. Set trainer.devices=1, or device=cpu.")
    if number:
        raise ConfigError(
            f"trainer.devices: {count} processes use the GPUs from cuda:0 on, and device is {device}. Set device=cuda, "
            f"and choose the GPUs with CUDA_VISIBLE_DEVICES; or set trainer.devices=1."
        )
    present = cuda_device_count()
    if count > present:
        raise ConfigError(
            f"trainer.devices: each of {count} processes needs a GPU, and this machine has {present}. Set "
            f"trainer.devices={max(present, 1)}, or device=cpu."
        )


def _check_loggers(names: tuple[str, ...]) -> None:
    for name in names:
        package, installed = LOGGERS[name]
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"trainer.loggers: {name} needs the package {package}: pip install {installed}")


def _check_kernels(packages: tuple[Package, ...], cuda: bool) -> None:
    """Refuse packages named twice, and on a GPU those not here but Warp, the default: `bozzetto doctor` misses it."""
    if len(set(packages)) < len(packages):
        raise ConfigError(f"trainer.kernels: must name each package once, got {', '.join(packages)}.")
    for name in packages if cuda else ():
        if name != "warp" and importlib.util.find_spec(name) is None:
            rest = [other for other in packages if other != name]
            raise ConfigError(
                f"trainer.kernels: {name} is not installed; docs/gpu.md says how to. Set trainer.kernels="
                f"[{','.join(rest)}] to do without it."
            )
