"""Finds and loads the compiled kernels. Plain C functions: nothing here depends on the version of Python or torch."""

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

DTYPES = (torch.float32, torch.int64, torch.int32, torch.bool)
"""What tensors the kernels take."""


@runtime_checkable
class Function(Protocol):
    """A C function of a library that `ctypes` has loaded, which returns a C int."""

    argtypes: Sequence[type] | None

    def __call__(self, *arguments: Any) -> int:
        """Call it; types are converted as `argtypes` says."""


class NativeError(RuntimeError):
    """A compiled kernel is missing, cannot run here or take this, or reported a failure."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where they are not built or this processor lacks what they were built for."""
    return load("_native")


@functools.cache
def wide_library() -> ctypes.CDLL | None:
    """Those of them that gain from AVX-512, compiled for it, or None likewise. They give the same bits."""
    return load("_native_avx512")


def load(name: str) -> ctypes.CDLL | None:
    """A library next to this file, if this processor can run it."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"{name}{suffix}")
        if path.is_file():
            found = ctypes.CDLL(str(path))
            return found if found.bozzetto_runs_here() else None
    return None


def usable() -> bool:
    """Whether the compiled kernels can be called. A program being compiled takes them for granted."""
    return torch.compiler.is_compiling() or library() is not None


@functools.cache
def thread_pool() -> ctypes.c_void_p | None:
    """torch's own `torch_parallel_for` (torch 2.10 and later), so that its thread count rules; None: one thread."""
    for path in (Path(torch.__file__).parent / "lib").glob("*torch_cpu.*"):
        if path.suffix in (".so", ".dylib"):
            pool = getattr(ctypes.CDLL(str(path)), "torch_parallel_for", None)
            return None if pool is None else ctypes.cast(pool, ctypes.c_void_p)
    return None


def fits(*tensors: Tensor) -> bool:
    """Whether the compiled kernels can take these tensors: float32, in main memory."""
    return all(tensor.is_cpu and tensor.dtype == torch.float32 for tensor in tensors)


@functools.cache
def warn_missing() -> None:
    """Say once, loudly, that the slow form runs."""
    warnings.warn(
        "The compiled CPU kernels of bozzetto are not usable (not built, or made for another processor): the torch "
        "form runs instead and is 10 to 50 times slower. Install a C++ compiler (e.g. g++) and reinstall bozzetto.",
        RuntimeWarning,
        stacklevel=4,
    )


def call(name: str, *arguments: Tensor | int | float | ctypes.Array[Any] | None) -> None:
    """Call `bozzetto_<name>` with the thread pool first: see `status`.

    Raises:
        NativeError: as `status`, or the function did not return 0.
    """
    code = status(name, *arguments)
    if code != 0:
        raise NativeError(f"bozzetto_{name} failed with code {code}")


def status(name: str, *arguments: Tensor | int | float | ctypes.Array[Any] | None) -> int:
    """What `bozzetto_<name>` returns. Tensors are passed as pointers, `int` as 64 bits, `float` as 32, None as null.

    Tensors must be contiguous in the layout it documents, in main memory, and of the type it expects.

    Raises:
        NativeError: the library is missing, or a tensor is none that a kernel can take.
    """
    function = find(name)
    if function.argtypes is None:
        function.argtypes = [ctypes.c_void_p, *map(_kind, arguments)]
    return function(thread_pool(), *[_pointer(item) if isinstance(item, Tensor) else item for item in arguments])


@functools.cache
def find(name: str) -> Function:
    """The C function `bozzetto_<name>`, in its form for AVX-512 where there is one.

    Raises:
        NativeError: there is none.
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
