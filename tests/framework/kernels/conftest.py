"""What the kernel tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from bozzetto.kernels.api import Backend
from bozzetto.kernels.cpp import native


@pytest.fixture(params=["torch", "cpp"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each form of a kernel in turn."""
    if request.param == "cpp" and native.library() is None:
        pytest.skip("the compiled kernels are not built: pip install with a C++ compiler present")
    return request.param


@pytest.fixture
def two_threads() -> Iterator[Backend]:
    """The compiled form; the number of threads the test sets is undone."""
    if native.library() is None:
        pytest.skip("the compiled kernels are not built: pip install with a C++ compiler present")
    before = torch.get_num_threads()
    yield "cpp"
    torch.set_num_threads(before)


@pytest.fixture
def same_bits_on_two_threads(two_threads: Backend) -> Callable[[Callable[[], list[torch.Tensor]]], None]:
    """Asserts that a function gives the same tensors on one thread and on two, and again on two."""

    def check(run: Callable[[], list[torch.Tensor]]) -> None:
        results = []
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(run())
        for one, *others in zip(*results, strict=True):
            assert all(torch.equal(one, other) for other in others)

    return check
