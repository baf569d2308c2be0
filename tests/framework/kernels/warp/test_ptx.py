"""Tests that the real CUDA compiler accepts every Warp kernel, for every architecture: it needs no GPU and no driver."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

wp = pytest.importorskip("warp")

from bozzetto.kernels import warp as package  # noqa: E402
from bozzetto.kernels.grid_spec import FEATURE_COUNTS  # noqa: E402
from bozzetto.kernels.warp.hash_kernels import hash_kernels  # noqa: E402
from bozzetto.kernels.warp.runtime import module  # noqa: E402

ARCHITECTURES = (75, 80, 86, 89, 90, 100)
USUAL = 2
"""Features per entry of a grid; kernels for the other numbers are compiled for the first and last architecture only."""


def kernels() -> Iterator[wp.Kernel]:
    """Yield every kernel of the package, of those for a grid the usual ones."""
    for found in pkgutil.iter_modules(package.__path__):
        members = vars(importlib.import_module(f"{package.__name__}.{found.name}"))
        yield from (member for member in members.values() if isinstance(member, wp.Kernel))
    yield from hash_kernels(USUAL)


@pytest.fixture(scope="module")
def everything() -> tuple[wp.Module, list[wp.Kernel]]:
    """Return one module with every kernel: most of the time to compile a module is for what all have in common."""
    return together("everything", set(kernels()))


def together(name: str, kernels: Iterable[wp.Kernel]) -> tuple[wp.Module, list[wp.Kernel]]:
    home = module(name)
    return home, [wp.Kernel(kernel.func, module=home) for kernel in kernels]


def test_no_kernel_is_left_out(everything: tuple[wp.Module, list[wp.Kernel]]) -> None:
    _, copies = everything
    names = {kernel.func.__module__.rpartition(".")[2] for kernel in copies}
    listed = {found.name for found in pkgutil.iter_modules(package.__path__)}
    assert names == {name for name in listed if name.endswith("_kernels")} | {"vertex_sums"}
    assert len(copies) >= 25


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_cuda_compiler_accepts_every_kernel_without_a_warning(
    everything: tuple[wp.Module, list[wp.Kernel]], architecture: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    accepts(*everything, architecture, tmp_path)
    said = capfd.readouterr()
    assert "warning" not in (said.out + said.err).lower() and "error" not in (said.out + said.err).lower()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [ARCHITECTURES[0], ARCHITECTURES[-1]])
def test_and_those_for_other_grids(architecture: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    others = [kernel for features in FEATURE_COUNTS if features != USUAL for kernel in hash_kernels(features)]
    accepts(*together("other_grids", others), architecture, tmp_path)
    said = capfd.readouterr()
    assert "warning" not in (said.out + said.err).lower() and "error" not in (said.out + said.err).lower()


def accepts(home: wp.Module, copies: list[wp.Kernel], architecture: int, folder: Path) -> None:
    """Compile a module, and look for its kernels in the result."""
    (path,) = wp.compile_aot_module(home, arch=architecture, module_dir=folder, use_ptx=True)
    text = path.read_text()
    assert f".target sm_{architecture}" in text
    assert text.count(".entry") == len(copies)
