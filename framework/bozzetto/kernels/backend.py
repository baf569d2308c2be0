"""Which form of a kernel runs, and the one check that all of them make."""

from __future__ import annotations

from typing import Literal

from torch import SymInt, Tensor

from bozzetto.kernels.cpp import native

Backend = Literal["auto", "cpp", "torch"]


def compiled(backend: Backend, *floats: Tensor) -> bool:
    """Whether to call the compiled kernel for these tensors. To be called by the public function itself.

    Raises:
        ValueError: `backend="cpp"` and it cannot take them, or is not built.
    """
    fits = native.fits(*floats)
    if backend == "torch" or (backend == "auto" and not fits):
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
    """Raise ValueError unless the tensor has this shape."""
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {tuple(tensor.shape)}")
