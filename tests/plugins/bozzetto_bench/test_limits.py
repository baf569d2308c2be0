"""Tests of the kernels that measure machine limits, and of the arithmetic on their results."""

from __future__ import annotations

import pytest
import torch

from bozzetto.kernels.cpp import native
from bozzetto_bench.limits import Effort, ideal_seconds, limits, machine, measure, table_limit

built = pytest.mark.skipif(native.library() is None, reason="the compiled kernels are not built")


@built
def test_triad() -> None:
    a, b, c = torch.zeros(100), torch.rand(100), torch.rand(100)
    native.call("limit_triad", 100, b, c, 0.5, a)
    torch.testing.assert_close(a, b + 0.5 * c)


@built
def test_gather_reads_each_pair_it_should() -> None:
    table = torch.tensor([1.0, 2.0]).repeat(32, 1)
    sums = torch.zeros(4, 2)
    native.call("limit_gather", 256, 32, table, sums)
    assert sums.tolist() == [[64.0, 128.0]] * 4


@built
def test_add_spreads_over_the_table() -> None:
    table = torch.zeros(1024, 2)
    native.call("limit_add", 1 << 16, 1024, table)
    assert table.sum(dim=0).tolist() == [1 << 16, 1 << 16]
    assert table.min() > 20 and table.max() < 130  # 64 on average


def test_every_limit_has_a_positive_rate() -> None:
    found = limits(Effort(numbers=64, accesses=64, side=4))
    rates = measure(found.values(), 1)
    assert set(rates) == set(found) >= {"gemm fp32", "gemm bf16"}
    assert all(rate > 0 for rate in rates.values())
    if native.library() is not None:
        assert {"stream", "gather 256 KB", "gather 4 MB", "add 256 KB", "add 4 MB"} <= set(found)


def test_tables_are_measured_at_the_size_that_is_next() -> None:
    assert table_limit("gather", 1 << 15) == "gather 256 KB"
    assert table_limit("add", 1 << 17) == "add 4 MB"


def test_ideal_times_add_up_and_need_every_limit() -> None:
    rates = {"gather": 100.0, "stream": 50.0}
    assert ideal_seconds({"gather": 200.0, "stream": 25.0}, rates) == 2.5
    assert ideal_seconds({"gather": 200.0, "add": 1.0}, rates) is None
    assert ideal_seconds({}, rates) is None


def test_the_machine_is_described() -> None:
    facts = machine()
    assert facts["cores usable"] >= 1 and facts["torch"] == torch.__version__ and facts["processor"]
