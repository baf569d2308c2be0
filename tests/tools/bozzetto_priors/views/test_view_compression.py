"""Tests that packed views approximate the views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bozzetto_priors.views import view_compression
from bozzetto_priors.views.training_views import load_views


def targets() -> torch.Tensor:
    """Return a disc in each of 12 views, its left half painted, smooth and with a soft rim."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 128), torch.linspace(-1, 1, 128), indexing="ij")
    opacity = ((0.8 - torch.hypot(x, y)) * 20.0).clamp(0.0, 1.0)[..., None]
    colour = torch.stack([0.5 + 0.4 * x, 0.5 + 0.4 * y, torch.full_like(x, 0.3)], dim=-1)
    takes = (x < 0.0).float()[..., None]
    channels = torch.cat([colour, torch.ones_like(takes), takes, colour * takes, 0.6 * takes], dim=-1) * opacity
    return (channels * 255.0).round().to(torch.uint8).expand(12, -1, -1, -1)


def test_what_is_packed_is_nearly_what_it_was() -> None:
    true = targets()
    files = view_compression.packed(true)
    found = view_compression.unpacked(*files)
    assert found.shape == true.shape
    error = (found.float() - true.float()).square().mean(dim=(0, 1, 2)).sqrt()
    assert error.max() < 6.0  # of 255
    assert sum(map(len, files)) < true.numel() / 50


def test_a_piece_is_read_like_one_that_is_not_packed(tmp_path: Path) -> None:
    lit, tone = (np.frombuffer(file, dtype=np.uint8) for file in view_compression.packed(targets()))
    camera = np.tile(np.asarray([[0.0, 10.0, 3.0]], "f4"), (12, 1))
    np.savez(
        tmp_path / "own__disc-0.npz", lit=lit, tone=tone, camera=camera, main_luma=0.5, box=np.eye(2, 3, dtype="f4")
    )
    views = load_views(tmp_path / "own__disc-0.npz")
    assert views.targets.shape == (12, 128, 128, 9)
    assert len(views.trained) == 11
    assert views.to(torch.device("cpu")).c2w.shape == (12, 4, 4)


def test_half_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 12 x N"):
        view_compression.packed(targets()[:5])
