"""Let the tests import the prior's tools, which are scripts beside each other and not a package; what several use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

TOOLS = Path(__file__).parents[2] / "tools"
sys.path[:0] = [str(TOOLS / "priors"), str(TOOLS)]


@pytest.fixture
def tiny_vae() -> AutoencoderKL:
    """An untrained autoencoder of factor 4, as the prior's is."""
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8), layers_per_block=1, latent_channels=4, norm_num_groups=4, scaling_factor=2.0,
    ).eval()  # fmt: skip
