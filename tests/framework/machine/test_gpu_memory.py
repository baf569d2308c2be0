"""Tests of the estimate of GPU memory: its limits for shipped profiles, and its numbers against counted peaks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from bozzetto.config.loading import load_recipe
from bozzetto.machine.gpu_memory import GpuMemory, gpu_memory
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.plans import plan
from bozzetto_plugins.guidance.network_memory import DENOISER_BYTES, ENCODER_BYTES
from gpu_check.counted import Peak

CONFIGS = Path(__file__).parents[3] / "configs"
GIB = 1 << 30


def estimates(registry, name: str, profile: str, overrides=()) -> list[GpuMemory]:
    recipe = load_recipe(CONFIGS / f"{name}.yaml", registry, overrides, profile)
    catalogue = Catalogue.of(registry)
    models = {task.guidance.model for stage in recipe.stages for task in stage.tasks if task.guidance is not None}
    sizes = {model: plan(model, catalogue).bytes_here for model in models}
    return [gpu_memory(stage, sizes) for stage in recipe.stages]


@pytest.mark.parametrize(
    ("name", "profile", "gib"),
    [
        ("dreamfusion-sd", "cuda", 7.0),
        ("dreamfusion-sd", "cuda-8gb", 7.0),
        ("zero123", "cuda-12gb", 10.0),
        ("zero123", "cuda-8gb", 7.3),
        ("magic123", "cuda-12gb", 11.2),
        ("magic123", "cuda-8gb", 7.5),
    ],
)
def test_shipped_profiles_fit_their_cards(registry, monkeypatch, name, profile, gib):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for found in estimates(registry, name, profile):
        assert 2.0 * GIB < found.total < gib * GIB, found.describe()


PROFILES = ("cuda-8gb", "cuda-12gb", "cuda-24gb", "cuda")
"""Columns of the table in docs/gpu.md."""


def rows_of_the_page() -> list[tuple[list[str], list[str]]]:
    """Return the recipes and cells of each row of the table of profiles."""
    page = (CONFIGS.parent / "docs" / "gpu.md").read_text(encoding="utf-8")
    table = page[page.index("| recipe | 8 GB |") :].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [(re.findall(r"`([a-z0-9-]+)`", named), values) for named, *values in cells]


@pytest.mark.parametrize(("names", "cells"), rows_of_the_page(), ids=lambda value: value[0])
def test_the_page_has_the_numbers_of_a_dry_run_and_calls_them_worked_out(registry, names, cells):
    image = ["image=docs/photos/chair.png"] if names[0] in ("zero123", "magic123") else []
    for profile, cell in zip(PROFILES, cells, strict=False):
        for name in names:
            largest = max(found.total for found in estimates(registry, name, profile, ["prompt=a", *image]))
            assert cell == f"worked out {largest / GIB:.1f}", (name, profile)
    assert cells[len(PROFILES) :] == ["nobody"]  # a measured number has its own column


def test_networks_of_a_guidance_that_does_not_say_are_not_counted_as_nothing(registry):
    (found,) = estimates(registry, "dreamfusion-sdxl", "cuda")
    assert found.networks is None and found.total > found.scene > 0
    assert "at least" in found.describe() and "networks not known" in found.describe()


def test_what_saves_memory_lowers_the_estimate(registry):
    (all_at_once,) = estimates(registry, "zero123", "cuda")
    key = "system.tasks.random.guidance"
    (one,) = estimates(registry, "zero123", "cuda", [f"{key}.encode_views=1"])
    assert one.networks < 0.5 * all_at_once.networks and one.scene == all_at_once.scene
    (fewer,) = estimates(registry, "zero123", "cuda", ["system.renderer.samples_per_ray=128"])
    assert fewer.scene == all_at_once.scene // 4
    assert one.describe().startswith("about ") and "GiB on a GPU (weights 2." in one.describe()
    assert "worked out for torch kernels, not measured" in one.describe()


def full(kind: str):
    """Return a network of Stable Diffusion in half precision, without values."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16)
    made = (
        AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )
        if kind == "vae"
        else UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=64)
    )  # fmt: skip
    torch.set_default_dtype(usual)
    return made.requires_grad_(False)


@pytest.mark.slow
def test_the_numbers_of_the_networks_are_those_counted():
    """Full-size networks without values, by torch's FakeTensorMode: shapes and lifetimes are those of a real step."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        vae, unet = full("vae"), full("unet")
        image = torch.zeros(1, 3, 512, 512, dtype=torch.float16, requires_grad=True)
        with Peak() as encoding:
            vae.encode(image).latent_dist.mean.sum().backward()
        with torch.no_grad(), Peak() as denoising:
            unet(torch.zeros(2, 4, 64, 64).half(), torch.zeros(2), torch.zeros(2, 77, 768).half())
    assert encoding.peak == pytest.approx(512 * 512 * ENCODER_BYTES, rel=0.25)
    assert denoising.peak < 2 * 512 * 512 * DENOISER_BYTES
