"""Tests of the estimate of GPU memory: its limits for shipped profiles, and its numbers against counted peaks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from bozzetto.config.loading import load_recipe
from bozzetto.machine.gpu_memory import GpuMemory, gpu_memory
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.plans import plan
from bozzetto_plugins.guidance.network_memory import DENOISER_BYTES, ENCODER_BYTES

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


def test_what_saves_memory_lowers_the_estimate(registry):
    (all_at_once,) = estimates(registry, "zero123", "cuda")
    key = "system.tasks.random.guidance"
    (one,) = estimates(registry, "zero123", "cuda", [f"{key}.encode_views=1"])
    assert one.networks < 0.5 * all_at_once.networks and one.scene == all_at_once.scene
    (fewer,) = estimates(registry, "zero123", "cuda", ["system.renderer.samples_per_ray=128"])
    assert fewer.scene == all_at_once.scene // 4
    assert "GiB on a GPU (weights 2." in one.describe()


class Peak(TorchDispatchMode):
    """Counts the bytes of storages that live at the same time, beside those of `fixed` tensors."""

    def __init__(self, fixed) -> None:
        super().__init__()
        self.alive, self.peak, self.fixed = 0, 0, {id(one.untyped_storage()) for one in fixed}
        self.known = WeakIdKeyDictionary()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        out = function(*arguments, **(keywords or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor.untyped_storage())
        return out

    def _see(self, storage) -> None:
        if storage in self.known:
            return
        size = storage.nbytes()
        self.alive += size
        self.peak = max(self.peak, self.alive)
        self.known[storage] = _Held(self, size)


class _Held:
    """Gives its bytes back when the storage that it belongs to is freed."""

    def __init__(self, peak: Peak, size: int) -> None:
        self.peak, self.size = peak, size

    def __del__(self) -> None:
        self.peak.alive -= self.size


def full(kind: str):
    """Return a network of Stable Diffusion in half precision, without values."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    made = (
        AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        )
        if kind == "vae"
        else UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=64)
    )  # fmt: skip
    return made.requires_grad_(False).half()


@pytest.mark.slow
def test_the_numbers_of_the_networks_are_those_counted():
    """Full-size networks without values, by torch's FakeTensorMode: shapes and lifetimes are those of a real step."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        vae, unet = full("vae"), full("unet")
        image = torch.zeros(1, 3, 512, 512, dtype=torch.float16, requires_grad=True)
        with Peak(vae.parameters()) as encoding:
            vae.encode(image).latent_dist.mean.sum().backward()
        with torch.no_grad(), Peak(unet.parameters()) as denoising:
            unet(torch.zeros(2, 4, 64, 64).half(), torch.zeros(2), torch.zeros(2, 77, 768).half())
    assert encoding.peak == pytest.approx(512 * 512 * ENCODER_BYTES, rel=0.25)
    assert denoising.peak < 2 * 512 * 512 * DENOISER_BYTES
