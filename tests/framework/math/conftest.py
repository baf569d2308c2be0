"""Noise schedule of Stable Diffusion, for tests with realistic levels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor


@pytest.fixture(scope="session")
def sd_alpha_bar() -> Tensor:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    return (1.0 - betas).cumprod(0)
