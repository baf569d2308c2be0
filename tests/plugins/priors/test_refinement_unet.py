"""Tests of the small U-Net: diffusers' network with the same weights, to the last bit."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from bozzetto_plugins.priors.refinement_unet import RefinementUNet


@pytest.mark.parametrize("widths", [(8,), (8, 16), (8, 16, 24)])
def test_it_is_that_of_diffusers(widths: tuple[int, ...]) -> None:
    blocks = len(widths)
    torch.manual_seed(0)
    theirs = UNet2DModel(
        sample_size=8, in_channels=6, out_channels=3, layers_per_block=1, block_out_channels=widths, norm_num_groups=4,
        add_attention=False, down_block_types=("DownBlock2D",) * blocks, up_block_types=("UpBlock2D",) * blocks,
        resnet_time_scale_shift="scale_shift",
    ).eval()  # fmt: skip
    ours = RefinementUNet(6, 3, widths, 4).eval()
    ours.load_state_dict(theirs.state_dict())
    image, times = torch.randn(3, 6, 8, 8), torch.tensor([0, 500, 999])
    with torch.no_grad():
        assert torch.equal(ours(image, times), theirs(image, times, return_dict=False)[0])
    assert ours.dtype == torch.float32 and ours.half().dtype == torch.float16
