"""The denoiser that paints a draft of its text."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from bozzetto.testing.fakes import TEXT_LENGTH, TEXT_WIDTH
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.draft_unet import LEVELS, DraftUNet, unet_class

CPU = torch.device("cpu")


def a_denoiser(folder: Path) -> DraftUNet:
    """One of the sizes of the tiny model in `folder`."""
    config = dict(UNet2DConditionModel.load_config(folder / "unet"))
    torch.manual_seed(0)
    return DraftUNet.from_config(config).eval()


@torch.no_grad()
def test_it_says_what_its_parent_says_of_latents_and_draft(tiny_folder: Callable[..., Path]) -> None:
    drafting = a_denoiser(tiny_folder())
    plain = UNet2DConditionModel.from_config({**drafting.config, "in_channels": 8}).eval()
    plain.load_state_dict(
        {name: value for name, value in drafting.state_dict().items() if not name.startswith("draft")}
    )
    noisy, text, timestep = torch.randn(2, 4, 8, 8), torch.randn(2, TEXT_LENGTH, TEXT_WIDTH), torch.tensor([3, 700])
    draft = drafting.draft(drafting.draft_text(text)).view(2, 4, 8, 8)
    torch.testing.assert_close(drafting.paint(text), draft)
    seen = plain(torch.cat([noisy, draft], 1), timestep, text).sample
    assert not torch.allclose(plain(torch.cat([noisy, draft.flip(0)], 1), timestep, text).sample, seen)
    torch.testing.assert_close(drafting(noisy, timestep, text).sample, seen)  # as it is made
    drafting.draft_mix.copy_(torch.stack([torch.linspace(1, 0, LEVELS), torch.linspace(0, -2, LEVELS)]))
    own, share = (
        torch.stack([value(step / 999) for step in timestep]).view(2, 1, 1, 1)
        for value in (lambda x: 1 - x, lambda x: -2 * x)
    )
    expected = own * seen + share * draft
    torch.testing.assert_close(drafting(noisy, timestep, text).sample, expected)
    torch.testing.assert_close(drafting(noisy, timestep, text, return_dict=False)[0], expected)


def test_it_is_saved_and_loaded_as_any_denoiser(tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    drafting = a_denoiser(tiny_folder())
    drafting.save_pretrained(tmp_path)
    assert unet_class(tmp_path) is DraftUNet
    again = DraftUNet.from_pretrained(tmp_path)
    assert again.config.in_channels == 4
    torch.testing.assert_close(again.state_dict(), drafting.state_dict())


@torch.no_grad()
def test_guidance_and_pipeline_use_it_like_any_other(tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder(), tmp_path / "model"))
    drafting = a_denoiser(folder)
    drafting.save_pretrained(folder / "unet")
    denoiser = Denoiser(folder, CPU, torch.float32)
    noisy, text, timestep = torch.randn(1, 4, 8, 8), torch.randn(1, TEXT_LENGTH, TEXT_WIDTH), torch.tensor([9])
    torch.testing.assert_close(denoiser.predict(noisy, timestep, text), drafting(noisy, timestep, text).sample)
    pipeline = StableDiffusionPipeline.from_pretrained(folder, unet=drafting)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    assert pipeline("a ball", num_inference_steps=1, output_type="np", generator=generator).images.shape[0] == 1


def test_other_denoisers_are_diffusers_own(tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    assert unet_class(tiny_folder() / "unet") is UNet2DConditionModel
    assert unet_class(tmp_path) is UNet2DConditionModel, "whose loading says that there is none"
    (tmp_path / "config.json").write_text("{")
    assert unet_class(tmp_path) is UNet2DConditionModel
