"""Which CUDA package serves which kernel: looked for on first use, said once, and never required."""

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
"""The module that each kernel's adapter calls."""

ADAPTER_OF = {"tinycudann": "tiny_cuda_nn", "nerfacc": "nerf_acc", "nvdiffrast.torch": "nv_diff_rast"}
"""The module of this folder that wraps it."""

LIMITS = {"nerfacc": " Version 0.5.3 builds with torch up to 2.11: later ones ask for C++20."}
"""Known reasons why a package may not be usable, by package."""

TERMS = {"nvdiffrast.torch": " Its licence allows research and evaluation only."}


Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def choose(backend: str, kernel: str, fallback: Kernel, *tensors: Tensor) -> Kernel:
    """The adapter of `kernel` if `backend` is "auto", its package works and all tensors are on CUDA; or `fallback`."""
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
    """Whether all tensors are on a CUDA device."""
    return all(tensor.is_cuda for tensor in tensors)


@functools.cache
def load(name: str) -> ModuleType | None:
    """The package, or None where it is not installed or cannot run; says once which of these it is.

    Logged as a warning, which Python shows unless told otherwise: results differ in rounding between packages.
    """
    kernels = ", ".join(kernel for kernel, package in PACKAGE_OF.items() if package == name)
    root = name.partition(".")[0]
    try:
        module = importlib.import_module(name)
        if name == "nerfacc" and importlib.import_module("nerfacc.cuda._backend")._C is None:
            raise ImportError("it found no CUDA toolkit to compile its kernels with")
    except ModuleNotFoundError as error:
        if error.name == root:
            return None  # not installed: the normal case
        _say_unusable(root, error, kernels)
        return None
    except (ImportError, OSError, RuntimeError) as error:
        _say_unusable(root, error, kernels)
        return None
    version = getattr(module, "__version__", "") or getattr(importlib.import_module(root), "__version__", "")
    log.warning("On CUDA %s run on %s.%s", kernels, f"{root} {version}".strip(), TERMS.get(name, ""))
    return module


def _say_unusable(root: str, error: Exception, kernels: str) -> None:
    """Say why a package cannot be used, in one line: what a compiler says may take a thousand."""
    why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    text = "%s is installed but not usable (%s); on CUDA %s run as torch operations.%s"
    log.warning(text, root, why, kernels, LIMITS.get(root, ""))
