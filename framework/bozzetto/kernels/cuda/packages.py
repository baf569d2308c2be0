"""Selects the CUDA package of each kernel: imported on first use, reported once, never required."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from bozzetto.kernels.settings import Package, current

log = logging.getLogger(__name__)

MODULE_OF: dict[Package, str] = {
    "warp": "warp",
    "tinycudann": "tinycudann",
    "nerfacc": "nerfacc",
    "nvdiffrast": "nvdiffrast.torch",
}
"""Module that is imported of each package."""

MESH_KERNELS = ("rasterize", "interpolate", "texture", "antialias")

KERNELS_OF: dict[Package, tuple[str, ...]] = {
    "warp": ("hash_encode", "hash_field", "march", "march_within", "composite", *MESH_KERNELS),
    "tinycudann": ("hash_encode", "hash_field", "mlp"),
    "nerfacc": ("march", "composite"),
    "nvdiffrast": MESH_KERNELS,
}
"""Kernels that each package serves; those that its adapter lacks are composed of others."""

ADAPTER_OF: dict[Package, str] = {
    "tinycudann": "bozzetto.kernels.cuda.tiny_cuda_nn",
    "nerfacc": "bozzetto.kernels.cuda.nerf_acc",
    "nvdiffrast": "bozzetto.kernels.cuda.nv_diff_rast",
}
"""Adapter module of each package; Warp has one for each kernel."""

LIMITS: dict[Package, str] = {"nerfacc": " Version 0.5.3 builds with torch up to 2.11: later ones ask for C++20."}
"""Known reasons why a package may not be usable."""

REMARKS: dict[Package, str] = {
    "warp": " They compile on first use, for some seconds. The last digits of sums of gradients differ from run to run "
    "unless trainer.deterministic=true.",
    "nvdiffrast": " Its licence allows research and evaluation only.",
}


Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def choose(backend: str, kernel: str, fallback: Kernel, *tensors: Tensor) -> Kernel:
    """Return the form of `kernel` in the first package of the settings that serves it here, `fallback` without one.

    Packages are for tensors on CUDA and `backend` "auto". With `backend` "warp" it is Warp's form on any device.

    Raises:
        ValueError: `backend="warp"`, but a tensor is not float32 or Warp is not usable here.
    """
    if backend == "warp" and kernel in KERNELS_OF["warp"]:
        if not _single(*tensors):
            raise ValueError("backend: 'warp' takes float32 tensors only; use 'auto' or 'torch'")
        if load("warp") is None:
            raise ValueError("backend: 'warp' is not usable here: pip install 'bozzetto[cuda]'")
        return _form("warp", kernel, fallback)
    if backend != "auto" or not on_cuda(*tensors):
        return fallback
    for name in current().packages:
        serves = kernel in KERNELS_OF[name] and (name != "warp" or _single(*tensors))
        if serves and load(name) is not None:
            return _form(name, kernel, fallback)
    return fallback


def _form(name: Package, kernel: str, fallback: Kernel) -> Kernel:
    home = f"bozzetto.kernels.warp.{kernel.removesuffix('_within')}" if name == "warp" else ADAPTER_OF[name]
    adapter = importlib.import_module(home)
    return cast(Kernel, getattr(adapter, kernel, fallback))


def _single(*tensors: Tensor) -> bool:
    """Return whether all floating-point tensors are float32."""
    return all(tensor.dtype == torch.float32 for tensor in tensors if tensor.is_floating_point())


def package(name: Package) -> ModuleType:
    """The package behind an adapter that `choose` has chosen.

    Raises:
        ImportError: it is not installed or cannot run, so that the adapter should not have been chosen.
    """
    module = load(name)
    if module is None:
        raise ImportError(f"{name} is not usable here")
    return module


def on_cuda(*tensors: Tensor) -> bool:
    """Return whether all tensors are on a CUDA device."""
    return all(tensor.is_cuda for tensor in tensors)


@functools.cache
def load(name: Package) -> ModuleType | None:
    """Return the package, or None if it is not installed or not usable; reports once which of these applies.

    Logged as a warning, which Python shows by default: rounding differs between packages.
    """
    kernels, root = ", ".join(KERNELS_OF[name]), MODULE_OF[name].partition(".")[0]
    try:
        module = importlib.import_module(MODULE_OF[name])
        if name == "nerfacc" and importlib.import_module("nerfacc.cuda._backend")._C is None:
            raise ImportError("it found no CUDA toolkit to compile its kernels with")
    except ModuleNotFoundError as error:
        if error.name == root:
            return None  # not installed: the usual case
        _say_unusable(name, error, kernels)
        return None
    except (ImportError, OSError, RuntimeError) as error:
        _say_unusable(name, error, kernels)
        return None
    version = getattr(module, "__version__", "") or getattr(importlib.import_module(root), "__version__", "")
    log.warning("On CUDA %s run on %s.%s", kernels, f"{root} {version}".strip(), REMARKS.get(name, ""))
    return module


def _say_unusable(name: Package, error: Exception, kernels: str) -> None:
    """Log why a package cannot be used in one line, since compiler output may have a thousand."""
    why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    text = "%s is installed but not usable (%s); %s do not run on it.%s"
    log.warning(text, name, why, kernels, LIMITS.get(name, ""))
