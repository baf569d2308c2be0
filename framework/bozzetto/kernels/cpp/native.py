"""Finds and loads the compiled kernels: plain C functions, independent of the Python and torch versions."""

from __future__ import annotations

import ctypes
import functools
import warnings
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from bozzetto.kernels.operators.operator import KernelError

DTYPES = (torch.float32, torch.int64, torch.int32, torch.bool)
"""Tensor types that the kernels accept."""


@runtime_checkable
class Function(Protocol):
    """A C function of a library that `ctypes` has loaded, which returns a C int."""

    argtypes: Sequence[type] | None

    def __call__(self, *arguments: Any) -> int:
        """Call it; types are converted as `argtypes` says."""


class NativeError(KernelError):
    """Error of a compiled kernel: missing, not usable on this machine, unsupported input, or a reported failure."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """Return the compiled kernels, or None if they are not built or were built for another processor."""
    return load("_native")


@functools.cache
def wide_library() -> ctypes.CDLL | None:
    """Return the kernels compiled for AVX-512, or None if unavailable. Their results are bitwise equal."""
    return load("_native_avx512")


def load(name: str) -> ctypes.CDLL | None:
    """Load a library next to this file, if this processor can run it."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"{name}{suffix}")
        if path.is_file():
            found = ctypes.CDLL(str(path))
            return found if found.bozzetto_runs_here() else None
    return None


def usable() -> bool:
    """Return whether the compiled kernels can be called; assumed true while torch is compiling."""
    return torch.compiler.is_compiling() or library() is not None


@functools.cache
def thread_pool() -> ctypes.c_void_p | None:
    """Return torch's `torch_parallel_for` (torch >= 2.10), which obeys torch's thread count; None: one thread."""
    for path in (Path(torch.__file__).parent / "lib").glob("*torch_cpu.*"):
        if path.suffix in (".so", ".dylib"):
            pool = getattr(ctypes.CDLL(str(path)), "torch_parallel_for", None)
            return None if pool is None else ctypes.cast(pool, ctypes.c_void_p)
    return None


def fits(*tensors: Tensor) -> bool:
    """Return whether the compiled kernels support these tensors: float32, in main memory."""
    return all(tensor.is_cpu and tensor.dtype == torch.float32 for tensor in tensors)


@functools.cache
def warn_missing() -> None:
    """Warn once that the slow torch reference is used."""
    warnings.warn(
        "The compiled CPU kernels of bozzetto are not usable (not built, or made for another processor): the torch "
        "form runs instead and is 10 to 50 times slower. Install a C++ compiler (e.g. g++) and reinstall bozzetto.",
        RuntimeWarning,
        stacklevel=4,
    )


def call(name: str, *arguments: Tensor | int | float | ctypes.Array[Any] | None) -> None:
    """Call `bozzetto_<name>` with the thread pool as first argument; see `status`.

    Raises:
        NativeError: as in `status`, or the function did not return 0.
    """
    code = status(name, *arguments)
    if code != 0:
        raise NativeError(f"bozzetto_{name} failed with code {code}")


def status(name: str, *arguments: Tensor | int | float | ctypes.Array[Any] | None) -> int:
    """Return the status of `bozzetto_<name>`; tensors are passed as pointers, int as int64, float as float32.

    None is passed as null. Tensors must be contiguous in the layout that the function documents, in main memory, and
    of the expected type.

    Raises:
        NativeError: the library is missing, or a tensor is not supported.
    """
    function = find(name)
    if function.argtypes is None:
        function.argtypes = [ctypes.c_void_p, *map(_kind, arguments)]
    return function(thread_pool(), *[_pointer(item) if isinstance(item, Tensor) else item for item in arguments])


@functools.cache
def find(name: str) -> Function:
    """Return the C function `bozzetto_<name>`, its AVX-512 form where available.

    Raises:
        NativeError: the function does not exist.
    """
    for found in (wide_library(), library()):
        function: Function | None = getattr(found, f"bozzetto_{name}", None)
        if function is not None:
            return function
    raise NativeError(f"bozzetto_{name} is missing: reinstall bozzetto where a C++ compiler is found")


def _kind(argument: Tensor | int | float | ctypes.Array[Any] | None) -> type:
    if isinstance(argument, float):
        return ctypes.c_float
    return ctypes.c_int64 if isinstance(argument, int) else ctypes.c_void_p


def _pointer(tensor: Tensor) -> int:
    if tensor.is_cpu and tensor.dtype in DTYPES and tensor.is_contiguous():
        return tensor.data_ptr()
    raise NativeError(
        f"Kernels take contiguous tensors of {', '.join(map(str, DTYPES))} in main memory, got {tensor.dtype} on "
        f"{tensor.device} with strides {tensor.stride()}"
    )
