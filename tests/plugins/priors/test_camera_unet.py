"""Tests of the denoiser conditioned on the exact camera: predictions from noise, backgrounds, views."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from bozzetto.math.score import add_noise, x0_from_v
from bozzetto.testing.fakes import TEXT_LENGTH, TEXT_WIDTH, cameras_around
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.families import family_of
from bozzetto_plugins.priors import camera_denoiser as module
from bozzetto_plugins.priors.camera_denoiser import BETAS, Recalled, camera_numbers, cameras_of
from bozzetto_plugins.priors.camera_network import CameraNetwork
from bozzetto_plugins.priors.camera_unet import CameraUNet

CPU = torch.device("cpu")
COLOUR = torch.tensor([0.9, 0.6, 0.1])
SIDE = 16
TEXT = torch.zeros(2, TEXT_LENGTH, TEXT_WIDTH)
CAMERAS = camera_numbers(cameras_around([0.0, 90.0], 10.0, SIDE))
LAST = torch.tensor([999, 999])


def noise(count: int = 2) -> Tensor:
    return torch.randn(count, 12, 8, 8, generator=torch.Generator().manual_seed(0))


def pixels(latents: Tensor) -> Tensor:
    return torch.nn.functional.pixel_shuffle(latents, 2)


@torch.no_grad()
def clean_of(unet: CameraUNet, sample: Tensor, times: Tensor, camera: Tensor | None = CAMERAS) -> Tensor:
    """Return the clean image predicted from noisy latents."""
    velocity = unet(sample, times, TEXT[: len(sample)], class_labels=camera).sample
    return pixels(x0_from_v(velocity, sample, unet.alpha_bars[times]))


def drawn_on(unet: CameraUNet, page: float, thing: int = 1, camera: Tensor = CAMERAS) -> Tensor:
    """Return the rendered thing on a background of one grey, in [-1, 1]."""
    count = len(camera)
    recalled = Recalled(torch.full((count,), thing), torch.zeros(count, 3), torch.zeros(count))
    colour, opacity = (each.permute(0, 3, 1, 2) for each in unet.draw(recalled, camera))
    return 2.0 * colour - opacity + (1.0 - opacity) * page


def test_the_noise_schedule_is_the_released_samplers() -> None:
    scheduler = DDIMScheduler(
        beta_start=BETAS[0], beta_end=BETAS[1], beta_schedule="scaled_linear", rescale_betas_zero_snr=True
    )
    torch.testing.assert_close(module.zero_snr_alpha_bars(), scheduler.alphas_cumprod, rtol=0.0, atol=1e-6)
    assert scheduler.alphas_cumprod[-1] < 1e-6


def test_where_all_is_noise_the_drawing_on_a_white_page_is_seen(camera_unet: CameraUNet) -> None:
    seen = clean_of(camera_unet, noise(), LAST)
    torch.testing.assert_close(seen, drawn_on(camera_unet, 1.0), rtol=0.0, atol=0.01)
    assert not torch.allclose(seen[0], seen[1])  # another side


@pytest.mark.parametrize("page", [-0.6, 0.0, 0.9])
def test_the_colour_of_the_page_is_found_in_the_noise(camera_unet: CameraUNet, page: float) -> None:
    times = torch.tensor([400, 100])
    picture = drawn_on(camera_unet, page)
    latents = torch.nn.functional.pixel_unshuffle(picture, 2)
    noisy = add_noise(latents, noise(), camera_unet.alpha_bars[times])
    assert (clean_of(camera_unet, noisy, times) - picture).abs().mean() < 0.08


def test_without_noise_a_picture_stays_what_it_is(camera_unet: CameraUNet) -> None:
    latents, times = torch.nn.functional.pixel_unshuffle(torch.rand(2, 3, SIDE, SIDE) - 0.5, 2), torch.tensor([0, 0])
    noisy = add_noise(latents, noise(), camera_unet.alpha_bars[times])
    assert (clean_of(camera_unet, noisy, times) - pixels(latents)).abs().mean() < 0.4 * 0.5  # of a wrong rendering's


def test_nothing_is_a_page(camera_unet: CameraUNet) -> None:
    with torch.no_grad():
        camera_unet.recall_thing.bias.copy_(torch.tensor([2.0, 1.0, 0.0]))
    seen = clean_of(camera_unet, noise(), LAST)
    torch.testing.assert_close(seen, torch.ones_like(seen), rtol=0.0, atol=0.01)


def test_without_cameras_the_front_is_seen(camera_unet: CameraUNet) -> None:
    front = module.front_camera(CPU).expand(2, -1)
    expected = clean_of(camera_unet, noise(), LAST, front)
    torch.testing.assert_close(clean_of(camera_unet, noise(), LAST, None), expected)
    azimuth, elevation, distance, fov_y = module.FRONT
    camera = cameras_of(front, SIDE)
    assert camera.azimuth_deg[0].item() == pytest.approx(azimuth, abs=1e-4)
    assert camera.elevation_deg[0].item() == pytest.approx(elevation, abs=1e-4)
    assert camera.distance[0].item() == pytest.approx(distance, abs=1e-4)
    assert torch.rad2deg(camera.fov_y_rad[0]).item() == pytest.approx(fov_y, abs=1e-4)


def test_camera_numbers_are_all_of_a_camera() -> None:
    cameras = cameras_around([10.0, -120.0], 33.0, SIDE, distance=2.5)
    again = cameras_of(camera_numbers(cameras), SIDE)
    torch.testing.assert_close(again.c2w, cameras.c2w)
    torch.testing.assert_close(again.fov_y_rad, cameras.fov_y_rad)
    assert (again.height, again.width) == (SIDE, SIDE)


def test_the_last_token_says_what_is_meant_and_in_which_paint(camera_unet: CameraUNet) -> None:
    text = torch.zeros(2, 5, TEXT_WIDTH)
    text[1, -1, 0] = text[0, 0, 0] = 1.0
    with torch.no_grad():
        camera_unet.recall_thing.weight[2, 0] = 5.0
        camera_unet.recall_paint.weight[3, 0] = 18.0
    recalled = camera_unet.recall(text)
    assert recalled.thing.tolist() == [1, 2]
    assert recalled.painted.tolist() == pytest.approx([0.0, 1.0], abs=1e-3)
    torch.testing.assert_close(recalled.paint, torch.sigmoid(torch.tensor([[-4.0, 4.0, -4.0]])).expand(2, 3))
    drawn = camera_unet.draw(recalled, CAMERAS)
    middle = drawn.colour[:, SIDE // 2, SIDE // 2]
    torch.testing.assert_close(middle[0], COLOUR, rtol=0.0, atol=0.01)
    torch.testing.assert_close(middle[1], recalled.paint[1], rtol=0.0, atol=0.01)


def test_what_the_network_adds_is_in_units_of_what_is_uncertain(camera_unet: CameraUNet) -> None:
    times = torch.tensor([999, 500])
    before = clean_of(camera_unet, noise(), times)
    torch.nn.init.constant_(camera_unet.refine.conv_out.bias, 1.0)
    added = clean_of(camera_unet, noise(), times) - before
    signal = camera_unet.alpha_bar(times)[1].sqrt().item()
    assert added[0].abs().max().item() == 0.0
    assert added[1].mean().item() == pytest.approx(signal * camera_unet.config.draft_deviation, rel=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_loaded_it_says_the_same_at_any_precision_and_noise(
    camera_unet: CameraUNet, camera_folder: Path, dtype: torch.dtype
) -> None:
    assert family_of(camera_folder / "unet") is CameraNetwork
    denoiser = Denoiser(camera_folder, CPU, dtype)
    assert denoiser.reads_cameras and denoiser.image_size == (SIDE, SIDE)
    torch.testing.assert_close(denoiser.alpha_bars, camera_unet.alpha_bars, rtol=0.0, atol=1e-6)
    times = torch.tensor([0, 999])
    with torch.no_grad():
        expected = camera_unet(noise(), times, TEXT, class_labels=CAMERAS, return_dict=False)[0]
    found = denoiser.predict(noise(), times, TEXT, CAMERAS)
    close = 1e-3 if dtype == torch.float32 else 0.25  # the first row's velocity is an error, divided by a noise of 0.03
    torch.testing.assert_close(found, expected, rtol=0.02, atol=close)


def test_diffusers_own_pipeline_samples_with_it(camera_unet: CameraUNet, camera_folder: Path) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(camera_folder, local_files_only=True)
    assert isinstance(pipeline.unet, CameraUNet)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    shown = pipeline("a ball", num_inference_steps=4, guidance_scale=1.0, output_type="pt", generator=generator).images
    expected = 0.5 + 0.5 * drawn_on(camera_unet, 1.0, camera=module.front_camera(CPU))
    assert (shown - expected).abs().mean() < 0.05
