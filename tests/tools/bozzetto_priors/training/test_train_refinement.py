"""Tests of the detail network: backgrounds, and a loss in units of the standard deviation."""

from __future__ import annotations

import pytest
import torch

from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_priors.training import train_refinement
from bozzetto_priors.training.train_refinement import Pairs


@pytest.fixture
def unet() -> CameraUNet:
    """Return a network for images of 16 pixels with zero output."""
    torch.manual_seed(0)
    made = CameraUNet(
        in_channels=12, out_channels=12, sample_size=8, cross_attention_dim=8, block_out_channels=(8, 8),
        norm_num_groups=4, things=2, grid_levels=1, grid_base_resolution=2, grid_finest_resolution=2,
        grid_log2_table_size=5, hidden_width=4, occupancy_cells=2,
    ).requires_grad_(False)  # fmt: skip
    for value in made.refine.conv_out.parameters():
        torch.nn.init.zeros_(value)
    made.refine.requires_grad_(True)
    return made


def pairs(error: int) -> Pairs:
    """Return a square whose draft is this much too dark, in 255ths."""
    picture = torch.zeros(2, 16, 16, 4, dtype=torch.uint8)
    picture[:, 4:12, 4:12] = torch.tensor([150, 100, 50, 255], dtype=torch.uint8)
    draft = picture.clone()
    draft[:, 4:12, 4:12, :3] -= error
    return Pairs(picture, draft)


def loss(unet: CameraUNet, error: int, seed: int = 0, rows: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return train_refinement.loss_of(unet, pairs(error), torch.arange(rows) % 2, generator)


def test_wrong_drafts_cost_more(unet: CameraUNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_refinement, "WITHOUT_DRAFT", 0.0)
    right, wrong = loss(unet, 0).item(), loss(unet, 40).item()
    assert 0.0 < right < 1.5 < 3.0 < wrong  # standard deviation 0.05, an error of 0.31 in a quarter of the pixels


def test_the_network_learns_what_drafts_lack(unet: CameraUNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_refinement, "WITHOUT_DRAFT", 0.0)
    adam = torch.optim.AdamW(unet.refine.parameters(), 5e-3)
    errors = []
    for step in range(40):
        adam.zero_grad()
        found = loss(unet, 40, seed=step)
        found.backward()
        adam.step()
        errors.append(found.item())
    assert sum(errors[-5:]) < 0.6 * sum(errors[:5])
    assert unet.recall_thing.weight.grad is None


def test_some_pages_are_white() -> None:
    pages = train_refinement.draw_pages(400, torch.Generator().manual_seed(0))
    white = (pages == 1.0).all(dim=1).float().mean().item()
    assert white == pytest.approx(train_refinement.WHITE_PAGES, abs=0.08)
    assert pages.min() >= 0.0 and pages.max() <= 1.0


def test_numbers_become_bytes() -> None:
    assert train_refinement.in_bytes(torch.tensor([-0.1, 0.5, 1.2])).tolist() == [0, 128, 255]
