"""Tests of `zero123`: the contract, photos and poses; a tiny model, loaded by the production code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bozzetto.errors import ConfigError, ModelError
from bozzetto.kinds.guidance import ElevationEstimator, Guidance
from bozzetto.kinds.score import Branch
from bozzetto.math.guidance import cfg
from bozzetto.math.relative_pose import relative_pose
from bozzetto.math.schedules import Schedule
from bozzetto.testing.fakes import a_photo, cameras_around, tiny_stable_diffusion, tiny_zero123
from bozzetto.testing.guidance import GuidanceContract, image_gradient
from bozzetto.types import Cameras, Rendered, ViewCondition
from bozzetto_plugins.guidance import zero123_elevation
from bozzetto_plugins.guidance.config import Zero123Config
from bozzetto_plugins.guidance.zero123 import Zero123
from bozzetto_plugins.guidance.zero123_views import Views, spherical

CPU = torch.device("cpu")
BASE = Zero123Config(model="tiny", dtype="float32")


def condition_of(*photos: object, count: int = 2) -> ViewCondition:
    none = torch.zeros(count, 0, 16)
    return ViewCondition(none, none, references=photos)


def pictures(size: int = 16) -> Rendered:
    image = torch.rand(2, size, size, 3, generator=torch.Generator().manual_seed(3)).requires_grad_()
    flat = torch.ones(2, size, size, 1)
    return Rendered(image, flat, flat)


class TestContract(GuidanceContract):
    reads_text = False

    @pytest.fixture(autouse=True)
    def _folder(self, zero123_folder: Path) -> None:
        self.folder = zero123_folder

    def make(self) -> Zero123:
        return Zero123(BASE, self.folder, CPU)

    def condition(self, guidance: Guidance) -> ViewCondition:
        return condition_of(a_photo())

    def conditions(self, guidance: Guidance) -> tuple[ViewCondition, ViewCondition]:
        return condition_of(a_photo()), condition_of(a_photo(seed=1))


def test_it_is_an_estimator_of_elevations(zero123_folder: Path) -> None:
    guidance = Zero123(BASE, zero123_folder, CPU)
    assert isinstance(guidance, ElevationEstimator)
    found = guidance.estimate_elevation_deg(a_photo(), torch.Generator().manual_seed(0))
    assert min(zero123_elevation.CANDIDATES_DEG) <= found <= max(zero123_elevation.CANDIDATES_DEG)
    assert found == guidance.estimate_elevation_deg(a_photo(), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("true_deg", [3.0, 38.0])
def test_expected_views_tell_from_where_they_were_seen(
    zero123_folder: Path, photograph_balls: Callable[[Cameras], Tensor], true_deg: float
) -> None:
    """A guidance that receives only relative poses and expects the correct views: no other input has the elevation."""
    guidance = Zero123(BASE, zero123_folder, CPU)
    told: list[Tensor] = []

    def tokens(photo: object, pose: Tensor) -> Tensor:
        told.append(pose)
        return torch.zeros(len(pose), 1, 16)

    def decode(latents: Tensor) -> Tensor:
        turn, rise = torch.rad2deg(torch.atan2(told[0][:, 1], told[0][:, 2])), -torch.rad2deg(told[0][:, 0])
        views = cameras_around(turn.tolist(), (true_deg + rise).tolist(), 32)
        return photograph_balls(views).permute(0, 3, 1, 2)

    guidance.tokens, guidance.denoiser.decode = tokens, decode
    found = guidance.estimate_elevation_deg(a_photo(elevation_deg=0.0), torch.Generator().manual_seed(0))
    assert abs(found - true_deg) <= 3.0


def test_an_absolute_convention_scores_the_photo_itself(zero123_folder: Path) -> None:
    guidance = Zero123(replace(BASE, pose_convention="stable-zero123"), zero123_folder, CPU)
    (photo,) = guidance.encoded((a_photo(),))
    wanted = 40.0
    good = guidance.tokens(photo, relative_pose(*[torch.tensor([[0.0, wanted, 3.0]])] * 2, "stable-zero123"))
    seen: list[Tensor] = []

    def outputs(
        noisy: Tensor, timestep: Tensor, photos: object, views: Views, branches: Sequence[Branch]
    ) -> dict[Branch, Tensor]:
        seen.append(noisy)
        wrong = (views.tokens[0] - good).norm(dim=(1, 2))[:, None, None, None]
        alpha_bar = guidance.denoiser.alpha_bar(timestep)[:, None, None, None]
        epsilon = (noisy - alpha_bar.sqrt() * photo.latents * 0.18215) / (1 - alpha_bar).sqrt()
        return dict.fromkeys(branches, epsilon + wrong)

    guidance.outputs = outputs
    assert guidance.estimate_elevation_deg(photo_of(photo), torch.Generator().manual_seed(0)) == wanted
    assert len(seen) == len(zero123_elevation.NOISE_LEVELS)


def photo_of(encoded: object) -> object:
    return a_photo()


def test_the_network_is_told_photo_and_pose(zero123_folder: Path) -> None:
    """Channels: noisy latents, then the photo's; one token per view; the unconditional branch zeroes both."""
    guidance, cameras, shot = Zero123(BASE, zero123_folder, CPU), cameras_around([0.0, 90.0]), a_photo()
    seen: list[tuple[Tensor, Tensor]] = []
    predict = guidance.denoiser.predict

    def spy(inputs: Tensor, timestep: Tensor, tokens: Tensor) -> Tensor:
        seen.append((inputs, tokens))
        return predict(inputs, timestep, tokens)

    guidance.denoiser.predict = spy
    guidance(pictures(), condition_of(shot), cameras, 0, torch.Generator().manual_seed(0))
    ((inputs, tokens),) = seen
    (photo,) = guidance.encoded((shot,))
    assert inputs.shape == (4, 8, 8, 8) and tokens.shape == (4, 1, 16)
    torch.testing.assert_close(inputs[:2, 4:], photo.latents.expand(2, -1, -1, -1))
    torch.testing.assert_close(inputs[0:2, :4], inputs[2:4, :4])
    assert not inputs[2:, 4:].any() and not tokens[2:].any()
    pose = relative_pose(spherical(cameras), torch.tensor([[0.0, 10.0, 3.0]]).expand(2, -1))
    expected = guidance.projection(torch.cat([photo.embedding.expand(2, -1), pose], dim=1))
    torch.testing.assert_close(tokens[:2, 0], expected, rtol=1e-4, atol=1e-4)


def test_the_photos_latents_are_not_scaled(zero123_folder: Path) -> None:
    guidance = Zero123(BASE, zero123_folder, CPU)
    photo = a_photo()
    (encoded,) = guidance.encoded((photo,))
    white = photo.image * photo.mask + (1.0 - photo.mask)
    mean = guidance.denoiser.vae.encode(2.0 * white.permute(2, 0, 1)[None] - 1.0).latent_dist.mean
    torch.testing.assert_close(encoded.latents, mean, rtol=1e-4, atol=1e-5)


def test_photos_are_encoded_once(zero123_folder: Path) -> None:
    guidance, photos = Zero123(BASE, zero123_folder, CPU), (a_photo(),)
    first = guidance.encoded(photos)
    assert guidance.encoded(tuple(photos)) is first
    assert guidance.encoded((a_photo(),)) is not first


def test_several_photos_count_by_nearness(zero123_folder: Path) -> None:
    guidance = Zero123(BASE, zero123_folder, CPU)
    photos = guidance.encoded((a_photo(elevation_deg=0.0), a_photo(azimuth_deg=90.0, elevation_deg=0.0, seed=1)))
    cameras = cameras_around([30.0, 90.0])
    views = guidance.views(photos, cameras)
    torch.testing.assert_close(views.nearness[:, 0], torch.tensor([2 / 3, 1 / 3]), rtol=1e-3, atol=1e-3)
    assert views.nearness[1, 1] > 0.98
    noisy, timestep = torch.randn(2, 4, 8, 8), torch.tensor([100, 500])
    alone = [
        guidance.denoiser.predict(torch.cat([noisy, p.latents.expand_as(noisy)], 1), timestep, t)
        for p, t in zip(photos, views.tokens, strict=True)
    ]
    nothing = torch.zeros_like(noisy)
    uncond = guidance.denoiser.predict(torch.cat([noisy, nothing], 1), timestep, torch.zeros(2, 1, 16))
    cond = sum(w[:, None, None, None] * out for w, out in zip(views.nearness, alone, strict=True))
    expected = cfg(cond, uncond, 3.0)
    both = guidance.outputs(noisy, timestep, photos, views, ["cond", "uncond"])
    torch.testing.assert_close(cfg(both["cond"], both["uncond"], 3.0), expected, rtol=1e-3, atol=1e-4)
    (alone,) = guidance.outputs(noisy, timestep, photos, views, ["cond"]).values()
    torch.testing.assert_close(alone, cond, rtol=1e-3, atol=1e-4)


def test_the_gradient_grows_with_the_angle(zero123_folder: Path) -> None:
    def gradient(config: Zero123Config) -> Tensor:
        rendered, photo = pictures(), a_photo(elevation_deg=0.0)
        guidance = Zero123(config, zero123_folder, CPU)
        generator = torch.Generator().manual_seed(0)
        guided = guidance(rendered, condition_of(photo), cameras_around([0.0, 90.0]), 0, generator)
        return image_gradient(guided, rendered.image)

    plain, scaled = gradient(BASE), gradient(replace(BASE, angle_scale=True))
    assert scaled[0].abs().max() < 1e-6
    torch.testing.assert_close(scaled[1], 0.5 * plain[1], rtol=1e-3, atol=1e-6)


def test_the_convention_is_chosen_by_name_or_by_hand() -> None:
    assert BASE.pose_convention_of("model") == "zero123"
    assert replace(BASE, model="stable-zero123").pose_convention_of("model") == "stable-zero123"
    assert BASE.pose_convention_of("Stable_Zero123") == "stable-zero123"
    assert replace(BASE, model="stable-zero123", pose_convention="zero123").pose_convention_of("x") == "zero123"


def test_without_a_photo_it_says_what_to_do(zero123_folder: Path) -> None:
    guidance = Zero123(BASE, zero123_folder, CPU)
    with pytest.raises(ConfigError, match="single-image"):
        guidance(pictures(), condition_of(), cameras_around([0.0, 90.0]), 0, torch.Generator())


def test_latent_scenes_are_refused(zero123_folder: Path) -> None:
    guidance, rendered = Zero123(BASE, zero123_folder, CPU), replace(pictures(), space="latent")
    with pytest.raises(ConfigError, match="space 'rgb'"):
        guidance(rendered, condition_of(a_photo()), cameras_around([0.0, 90.0]), 0, torch.Generator())


def test_both_layouts_are_read(tmp_path: Path, zero123_folder: Path) -> None:
    other = tiny_zero123(tmp_path / "other", projection="cc_projection")
    one, two = (Zero123(BASE, folder, CPU).projection for folder in (zero123_folder, other))
    torch.testing.assert_close(one.weight, two.weight)


def test_other_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no Zero123 model"):
        Zero123(BASE, tiny_stable_diffusion(tmp_path / "sd"), CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": " "}, "model: must name weights"),
        ({"cfg_scale": Schedule.constant(-1.0)}, "cfg_scale: must lie in"),
        ({"min_step_fraction": Schedule.constant(0.7)}, "min_step_fraction: must not exceed"),
        ({"max_step_fraction": Schedule.constant(1.2)}, r"max_step_fraction: must lie in \[0, 1\]"),
        ({"grad_clip": Schedule.constant(0.0)}, "grad_clip: must lie in"),
        ({"debug_steps": -1}, "debug_steps: must lie in"),
    ],
)
def test_the_config_checks_itself(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(BASE, **change)
