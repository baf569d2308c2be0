"""Tests that a prior is sampled from every camera, reproducibly."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DDIMScheduler

from bozzetto.testing.fakes import tiny_stable_diffusion
from bozzetto_priors.judges.ground_truth import ring
from bozzetto_priors.judges.prior_sampler import Sampler


def test_every_camera_gets_a_picture_and_a_seed_the_same_ones(tmp_path: Path) -> None:
    folder = tiny_stable_diffusion(tmp_path)
    DDIMScheduler().save_pretrained(folder / "scheduler")
    sampler = Sampler(folder)
    first, again, other = (sampler("a ball", ring(sampler.size), 2, seed) for seed in (0, 0, 1))
    assert first.shape == (8, 3, 32, 32) and first.min() >= 0.0 and first.max() <= 1.0
    assert torch.equal(first, again) and not torch.equal(first, other)
