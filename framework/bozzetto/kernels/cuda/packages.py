"""Selects the CUDA package of each kernel: imported on first use, reported once, never required."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar, cast

from torch import Tensor

log = logging.getLogger(__name__)

PACKAGE_OF = {
    "hash_encode": "tinycudann",
    "mlp": "tinycudann",
    "march": "nerfacc",
    "composite": "nerfacc",
    "rasterize": "nvdiffrast.torch",
    "interpolate": "nvdiffrast.torch",
    "texture": "nvdiffrast.torch",
    "antialias": "nvdiffrast.torch",
}
"""Module that each kernel's adapter calls."""

ADAPTER_OF = {"tinycudann": "tiny_cuda_nn", "nerfacc": "nerf_acc", "nvdiffrast.torch": "nv_diff_rast"}
"""Adapter module in this folder of each package."""

LIMITS = {"nerfacc": " Version 0.5.3 builds with torch up to 2.11: later ones ask for C++20."}
"""Known reasons why a package may not be usable."""

TERMS = {"nvdiffrast.torch": " Its licence allows research and evaluation only."}


Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def choose(backend: str, kernel: str, fallback: Kernel, *tensors: Tensor) -> Kernel:
    """Return the CUDA adapter of `kernel` if `backend` is "auto", all tensors are on CUDA and its package works.

    Returns `fallback` otherwise.
    """
    if backend != "auto" or not on_cuda(*tensors) or load(PACKAGE_OF[kernel]) is None:
        return fallback
    adapter = importlib.import_module(f"{__package__}.{ADAPTER_OF[PACKAGE_OF[kernel]]}")
    return cast(Kernel, getattr(adapter, kernel))


def package(name: str) -> ModuleType:
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
def load(name: str) -> ModuleType | None:
    """Return the package, or None if it is not installed or not usable; reports once which of these applies.

    Logged as a warning, which Python shows by default: rounding differs between packages.
    """
    kernels = ", ".join(kernel for kernel, package in PACKAGE_OF.items() if package == name)
    root = name.partition(".")[0]
    try:
        module = importlib.import_module(name)
        if name == "nerfacc" and importlib.import_module("nerfacc.cuda._backend")._C is None:
            raise ImportError("it found no CUDA toolkit to compile its kernels with")
    except ModuleNotFoundError as error:
        if error.name == root:
            return None  # not installed: the usual case
        _say_unusable(root, error, kernels)
        return None
    except (ImportError, OSError, RuntimeError) as error:
        _say_unusable(root, error, kernels)
        return None
    version = getattr(module, "__version__", "") or getattr(importlib.import_module(root), "__version__", "")
    log.warning("On CUDA %s run on %s.%s", kernels, f"{root} {version}".strip(), TERMS.get(name, ""))
    return module


def _say_unusable(root: str, error: Exception, kernels: str) -> None:
    """Log why a package cannot be used in one line, since compiler output may have a thousand."""
    why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    text = "%s is installed but not usable (%s); on CUDA %s run as torch operations.%s"
    log.warning(text, root, why, kernels, LIMITS.get(root, ""))
