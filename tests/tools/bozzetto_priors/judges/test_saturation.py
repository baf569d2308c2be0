"""Saturation of colours whose value is known."""

from __future__ import annotations

import pytest
import torch

from bozzetto_priors.judges.saturation import saturation


def test_it_is_the_mean_over_the_object_whatever_its_opacity() -> None:
    picture = torch.zeros(1, 4, 2, 3)
    picture[0, :, 0, 0] = torch.tensor([1.0, 0.0, 0.0, 1.0])  # red: 1
    picture[0, :, 0, 1] = torch.tensor([0.8, 0.4, 0.6, 1.0])  # half
    picture[0, :, 0, 2] = 0.8 * torch.tensor([0.8, 0.4, 0.6, 1.0])  # half, behind a veil
    picture[0, :, 1, 0] = torch.tensor([0.5, 0.5, 0.5, 1.0])  # grey: 0
    picture[0, :, 1, 1] = torch.tensor([0.0, 0.0, 0.0, 1.0])  # black: 0
    picture[0, :, 1, 2] = torch.tensor([0.3, 0.0, 0.0, 0.3])  # not solid
    assert saturation(picture) == pytest.approx((1.0 + 0.5 + 0.5) / 5)
    assert saturation(torch.zeros(1, 4, 2, 2)) == 0.0
