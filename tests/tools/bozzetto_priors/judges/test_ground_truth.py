"""Tests of the cameras around the true models, and of their images over white. Nothing is rendered."""

from __future__ import annotations

import pytest
import torch

from bozzetto_priors.judges import ground_truth


def test_the_truth_is_seen_from_eight_sides_over_white() -> None:
    cameras = ground_truth.ring(16)
    assert len(cameras) == 8 and (cameras.height, cameras.width) == (16, 16)
    assert cameras.azimuth_deg.abs().max() <= 180.0 and cameras.azimuth_deg[0].item() == pytest.approx(0.0, abs=1e-4)
    picture = torch.tensor([0.4, 0.2, 0.0, 0.5]).view(1, 4, 1, 1)
    assert ground_truth.over_white(picture).flatten().tolist() == pytest.approx([0.9, 0.7, 0.5])
    half, white = torch.full((2, 3, 2, 2), 0.9), torch.ones(2, 3, 2, 2)
    half[1] = 0.99
    assert ground_truth.psnr(half, white) == pytest.approx(30.0)  # of 20 and 40
