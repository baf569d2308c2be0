"""Tests of pixels as latents: lossless, noise stays noise, gradients keep their position."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bozzetto_plugins.guidance.families import family_of
from bozzetto_plugins.priors.patch_codec import PatchCodec
from bozzetto_plugins.priors.pixel_codec import Certain, PixelCodec


def picture(size: int = 8) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0


def test_decoding_undoes_encoding() -> None:
    codec, shown = PatchCodec(), picture()
    latents = codec.encode(shown).latent_dist.mode()
    assert latents.shape == (2, 48, 2, 2)
    assert torch.equal(codec.decode(latents).sample, shown)
    (certain,) = codec.encode(shown, return_dict=False)
    assert torch.equal(codec.decode(certain.sample(), return_dict=False)[0], shown)
    assert not certain.std.any()


def test_each_latent_is_a_block_of_pixels() -> None:
    codec, shown = PatchCodec(latent_channels=12, block_out_channels=(12, 12)), torch.zeros(1, 3, 4, 4)
    shown[0, :, 2:, :2] = 1.0
    latents = codec.encode(shown).latent_dist.mean
    assert torch.equal(latents[0].amin(dim=0), torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    assert torch.equal(latents[0].amax(dim=0), latents[0].amin(dim=0))


def test_the_gradient_of_a_latent_reaches_its_pixel_unchanged() -> None:
    codec, shown = PatchCodec(), picture().requires_grad_()
    given = torch.randn(2, 48, 2, 2, generator=torch.Generator().manual_seed(1))
    codec.encode(shown).latent_dist.mean.backward(given)
    assert torch.equal(codec.encode(shown.grad).latent_dist.mean, given)


def test_a_factor_that_its_channels_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="latent_channels: must be 48 for a factor of 4"):
        PatchCodec(latent_channels=12)


def test_it_is_saved_and_loaded_as_any_autoencoder(tmp_path: Path) -> None:
    PatchCodec(latent_channels=12, block_out_channels=(12, 12)).save_pretrained(tmp_path / "vae")
    again = PatchCodec.from_pretrained(tmp_path / "vae", torch_dtype=torch.float16)
    assert again.factor == 2 and again.dtype == torch.float16 and again.device.type == "cpu"
    assert isinstance(again.encode(picture().half()).latent_dist, Certain)


def test_without_diffusers_it_does_the_same(tmp_path: Path) -> None:
    codec, shown = PatchCodec(latent_channels=12, block_out_channels=(12, 12)), picture()
    codec.save_pretrained(tmp_path / "vae")
    assert family_of(tmp_path / "vae") is PixelCodec
    again = PixelCodec.from_pretrained(tmp_path / "vae")
    latents = again.encode(shown).latent_dist.mean
    assert torch.equal(latents, codec.encode(shown).latent_dist.mean)
    assert torch.equal(again.decode(latents).sample, shown) and again.config.scaling_factor == 1.0
