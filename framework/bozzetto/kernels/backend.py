"""Selects the implementation of a kernel, and the shape check shared by all kernels."""

from __future__ import annotations

from typing import Literal

from torch import SymInt, Tensor

from bozzetto.kernels.cpp import native

Backend = Literal["auto", "cpp", "torch", "warp"]


def compiled(backend: Backend, *floats: Tensor) -> bool:
    """Return whether to call the compiled kernel for these tensors. To be called by the public function itself.

    Raises:
        ValueError: `backend="cpp"`, but the tensors are not supported or the library is not built.
    """
    fits = native.fits(*floats)
    if backend in ("torch", "warp") or (backend == "auto" and not fits):
        return False
    if not fits:
        raise ValueError("backend: 'cpp' takes float32 tensors in main memory only; use 'auto' or 'torch'")
    if native.usable():
        return True
    if backend == "cpp":
        raise ValueError("backend: 'cpp' is not usable here: reinstall bozzetto where a C++ compiler is found")
    native.warn_missing()
    return False


def expect(name: str, tensor: Tensor, shape: tuple[int | SymInt, ...]) -> None:
    """Raise `ValueError` unless the tensor has this shape."""
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {tuple(tensor.shape)}")
