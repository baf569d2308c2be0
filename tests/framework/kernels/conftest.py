"""Fixtures of the kernel tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from bozzetto.kernels.api import Backend
from bozzetto.kernels.cpp import native
from bozzetto.kernels.cuda import packages


@pytest.fixture(params=["torch", "cpp", "warp"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Yield each form of a kernel. Those of Warp run on the CPU: the same source as on a GPU."""
    if request.param == "warp" and packages.load("warp") is None:
        pytest.skip("warp-lang is not installed: pip install '.[test]'")
    if request.param == "cpp" and native.library() is None:
        pytest.skip("the compiled kernels are not built: pip install with a C++ compiler present")
    return request.param


@pytest.fixture
def two_threads() -> Iterator[Backend]:
    """Return the compiled form; restore the number of threads afterwards."""
    if native.library() is None:
        pytest.skip("the compiled kernels are not built: pip install with a C++ compiler present")
    before = torch.get_num_threads()
    yield "cpp"
    torch.set_num_threads(before)


@pytest.fixture
def same_bits_on_two_threads(two_threads: Backend) -> Callable[[Callable[[], list[torch.Tensor]]], None]:
    """Assert that a function returns bit-identical tensors on one thread, on two, and on two again."""

    def check(run: Callable[[], list[torch.Tensor]]) -> None:
        results = []
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(run())
        for one, *others in zip(*results, strict=True):
            assert all(torch.equal(one, other) for other in others)

    return check
