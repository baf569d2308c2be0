"""Tests of per-ray values gathered at samples."""

from __future__ import annotations

import torch

from bozzetto.math.rows import rows_at


def test_it_is_indexing() -> None:
    rows = torch.arange(12.0).view(4, 3).requires_grad_()
    index = torch.tensor([0, 0, 3, 1, 1, 1])
    assert torch.equal(rows_at(rows, index), rows[index])
    (grad,) = torch.autograd.grad(rows_at(rows, index).sum(), rows)
    assert grad[:, 0].tolist() == [2.0, 3.0, 0.0, 1.0]
