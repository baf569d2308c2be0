"""Tests of `stable-diffusion` on rendered images: a tiny model, loaded by the production code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bozzetto.errors import ConfigError, ModelError, NonFiniteError
from bozzetto.math.guidance import cfg, perp_neg
from bozzetto.math.schedules import Schedule
from bozzetto.math.score import signal_and_noise, v_from_epsilon
from bozzetto.testing.fakes import cameras_around
from bozzetto.testing.guidance import image_gradient
from bozzetto.types import Guided, Rendered, ViewCondition
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.stable_diffusion import StableDiffusion
from bozzetto_plugins.priors.camera_denoiser import camera_numbers

Folders = Callable[..., Path]
CPU = torch.device("cpu")
BASE = StableDiffusionConfig(model="tiny", dtype="float32", cfg_scale=Schedule.constant(7.5))


def pictures(size: int = 16, channels: int = 3, space: str = "rgb", normal: bool = True) -> Rendered:
    generator = torch.Generator().manual_seed(7)
    image = torch.rand(2, size, size, channels, generator=generator).requires_grad_()
    opacity = torch.rand(2, size, size, 1, generator=generator)
    directions = torch.nn.functional.normalize(torch.randn(2, size, size, 3, generator=generator), dim=-1)
    normals = directions.requires_grad_() if normal else None
    return Rendered(image, opacity, torch.ones_like(opacity), normals, space=space)


def condition_of(guidance: StableDiffusion, negatives: bool = False) -> ViewCondition:
    text = guidance.encode_text(["a ball, front view", "a ball, side view", "blurry"])
    condition = ViewCondition(text[:2], text[2:].expand(2, -1, -1))
    if not negatives:
        return condition
    pushed = text[[1, 0]][None].expand(2, -1, -1, -1)
    return replace(condition, negatives=pushed, negative_weights=torch.tensor([[-1.0, -0.5], [0.0, -2.0]]))


def guide(
    guidance: StableDiffusion, rendered: Rendered, step: int = 0, seed: int = 0, negatives: bool = False
) -> Guided:
    generator = torch.Generator().manual_seed(seed)
    return guidance(rendered, condition_of(guidance, negatives), cameras_around([0.0, 90.0]), step, generator)


def latents_of(config: StableDiffusionConfig, folder: Path, rendered: Rendered, step: int = 0, seed: int = 0) -> Tensor:
    """Return the latents of a rendering: what the gradient of the form `backward` is given to."""
    guidance = StableDiffusion(replace(config, sds_form="backward"), folder, CPU)
    latents, _ = guide(guidance, rendered, step, seed).gradients["sds"]
    return latents


@dataclass
class Step:
    """Guidance, condition and noise of one step, and the guided noise prediction, as its gradient tells."""

    config: InitVar[StableDiffusionConfig]
    folder: InitVar[Path]
    negatives: bool = False

    def __post_init__(self, config: StableDiffusionConfig, folder: Path) -> None:
        config = replace(config, sds_form="backward", weighting="uniform", min_step_fraction=Schedule.constant(0.5))
        self.guidance = StableDiffusion(config, folder, CPU)
        self.condition = condition_of(self.guidance, self.negatives)
        denoiser, predict = self.guidance.denoiser, self.guidance.denoiser.predict

        def spy(noisy: Tensor, *others: Tensor | None) -> Tensor:
            self.noisy = noisy[:2]
            return predict(noisy, *others)

        denoiser.predict = spy
        guided = guide(self.guidance, pictures(), negatives=self.negatives)
        denoiser.predict = predict
        (latents, gradient), self.timestep = guided.gradients["sds"], guided.timestep
        signal, noise = signal_and_noise(denoiser.alpha_bar(self.timestep))
        self.guided = 2.0 * gradient + (self.noisy - signal * latents.detach()) / noise

    def alone(self, text: Tensor) -> Tensor:
        """Return the prediction for one text per view."""
        return self.guidance.denoiser.predict(self.noisy, self.timestep, text)


def gradient_of(config: StableDiffusionConfig, folder: Path, **options: object) -> Tensor:
    rendered = pictures(32)
    return image_gradient(guide(StableDiffusion(config, folder, CPU), rendered, **options), rendered.image)


@pytest.mark.parametrize("form", ["function", "dot", "backward"])
def test_every_form_gives_the_image_the_same_gradient(tiny_folder: Folders, form: str) -> None:
    expected = gradient_of(BASE, tiny_folder())
    actual = gradient_of(replace(BASE, sds_form=form), tiny_folder())
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)


def test_a_scale_of_one_is_the_conditional_prediction(tiny_folder: Folders) -> None:
    guidance = StableDiffusion(replace(BASE, cfg_scale=Schedule.constant(1.0)), tiny_folder(), CPU)
    condition = condition_of(guidance)
    seen: list[Tensor] = []
    predict = guidance.denoiser.predict

    def spy(noisy: Tensor, timestep: Tensor, text: Tensor, cameras: Tensor | None) -> Tensor:
        assert cameras is None, "which this model cannot read"
        seen.append(text)
        return predict(noisy, timestep, text)

    guidance.denoiser.predict = spy
    guidance(pictures(), condition, cameras_around([0.0, 90.0]), 0, torch.Generator().manual_seed(0))
    (text,) = seen
    torch.testing.assert_close(text, condition.text)


def test_a_model_that_reads_cameras_is_told_the_exact_ones(camera_folder: Path) -> None:
    guidance = StableDiffusion(BASE, camera_folder, CPU)
    cameras = cameras_around([0.0, 90.0])
    seen: list[Tensor] = []
    predict = guidance.denoiser.predict

    def spy(noisy: Tensor, timestep: Tensor, text: Tensor, told: Tensor | None) -> Tensor:
        seen.append(told)
        return predict(noisy, timestep, text, told)

    guidance.denoiser.predict = spy
    guidance(pictures(), condition_of(guidance), cameras, 0, torch.Generator().manual_seed(0))
    (told,) = seen
    torch.testing.assert_close(told, camera_numbers(cameras).repeat(2, 1))  # conditional and unconditional branch


@pytest.mark.parametrize("negatives", [False, True])
def test_the_guider_is_the_formula(tiny_folder: Folders, negatives: bool) -> None:
    step = Step(replace(BASE, guider="perp-neg" if negatives else "cfg"), tiny_folder(), negatives)
    cond, uncond = step.alone(step.condition.text), step.alone(step.condition.uncond)
    if negatives:
        others = torch.stack([step.alone(text) for text in step.condition.negatives.unbind(1)], dim=1)
        expected = perp_neg(cond, uncond, others, step.condition.negative_weights, 7.5)
    else:
        expected = cfg(cond, uncond, 7.5)
    torch.testing.assert_close(step.guided, expected, rtol=1e-4, atol=1e-5)


def test_perp_neg_wants_negatives(tiny_folder: Folders) -> None:
    guidance = StableDiffusion(replace(BASE, guider="perp-neg"), tiny_folder(), CPU)
    with pytest.raises(ConfigError, match="negatives=true"):
        guide(guidance, pictures())
    assert guide(guidance, pictures(), negatives=True).losses["sds"].isfinite()


def test_noise_and_velocity_models_that_agree_give_the_same_gradient(tiny_folder: Folders) -> None:
    config = replace(BASE, cfg_scale=Schedule.constant(1.0))
    epsilon = StableDiffusion(config, tiny_folder(), CPU)
    velocity = StableDiffusion(config, tiny_folder(prediction_type="v_prediction"), CPU)
    assert velocity.denoiser.prediction == "v_prediction"
    predict = epsilon.denoiser.predict

    def as_velocity(noisy: Tensor, timestep: Tensor, text: Tensor, cameras: None = None) -> Tensor:
        alpha_bar = velocity.denoiser.alpha_bar(timestep)[:, None, None, None]
        return (predict(noisy, timestep, text) - (1.0 - alpha_bar).sqrt() * noisy) / alpha_bar.sqrt()

    velocity.denoiser.predict = as_velocity
    first, second = pictures(), pictures()
    expected = image_gradient(guide(epsilon, first), first.image)
    actual = image_gradient(guide(velocity, second), second.image)
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("levels", "size"), [(3, 32), (4, 64)])
def test_the_image_is_resized_to_the_encoders_own_size(tiny_folder: Folders, levels: int, size: int) -> None:
    guidance = StableDiffusion(BASE, tiny_folder(vae_levels=levels), CPU)
    assert guidance.denoiser.image_size == (size, size)
    assert guidance.denoiser.latent_size == (8, 8)
    for rendered in (pictures(size // 2), pictures(size), pictures(2 * size)):
        gradient = image_gradient(guide(guidance, rendered), rendered.image)
        assert gradient.shape == rendered.image.shape
        assert gradient.norm() > 0


def test_a_picture_of_one_colour_is_the_same_at_every_size(tiny_folder: Folders) -> None:
    latents = []
    for size in (16, 32, 64):
        image = torch.full((2, size, size, 3), 0.3)
        flat = torch.ones(2, size, size, 1)
        latents.append(latents_of(replace(BASE, encode="mode"), tiny_folder(), Rendered(image, flat, flat)))
    torch.testing.assert_close(latents[0], latents[1])
    torch.testing.assert_close(latents[2], latents[1])


def test_encoding_samples_or_takes_the_mode(tiny_folder: Folders) -> None:
    rendered = pictures(32)
    draws = [latents_of(BASE, tiny_folder(), rendered, seed=seed) for seed in (0, 0, 1)]
    torch.testing.assert_close(draws[0], draws[1])
    assert not torch.allclose(draws[0], draws[2])
    vae = Denoiser(tiny_folder(), CPU, torch.float32).vae
    expected = vae.encode(2.0 * rendered.image.permute(0, 3, 1, 2) - 1.0).latent_dist.mode()
    actual = latents_of(replace(BASE, encode="mode"), tiny_folder(), rendered)
    torch.testing.assert_close(actual, expected * vae.config.scaling_factor)


def test_latents_are_used_as_they_are(tiny_folder: Folders) -> None:
    guidance = StableDiffusion(BASE, tiny_folder(), CPU)
    rendered = pictures(8, channels=4, space="latent")
    latents = latents_of(BASE, tiny_folder(), rendered)
    assert torch.equal(latents, rendered.image.permute(0, 3, 1, 2))
    assert image_gradient(guide(guidance, rendered), rendered.image).norm() > 0
    with pytest.raises(ConfigError, match="3 latent channels and the model has 4"):
        guide(guidance, pictures(8, channels=3, space="latent"))


def test_the_warm_up_reads_normals_and_opacity(tiny_folder: Folders) -> None:
    config = replace(BASE, as_latent_until_step=10)
    guidance = StableDiffusion(config, tiny_folder(), CPU)
    assert guidance.needs_normal(9)
    assert not guidance.needs_normal(10)
    rendered = pictures(8)
    latents = latents_of(config, tiny_folder(), rendered, step=9)
    torch.testing.assert_close(latents[:, :3], rendered.normal.permute(0, 3, 1, 2))
    torch.testing.assert_close(latents[:, 3:], 2.0 * rendered.opacity.permute(0, 3, 1, 2) - 1.0)
    assert image_gradient(guide(guidance, rendered, step=9), rendered.normal).norm() > 0
    rendered = pictures(8)
    assert image_gradient(guide(guidance, rendered, step=10), rendered.image).norm() > 0
    with pytest.raises(ConfigError, match=r"as_latent_until_step.*normals"):
        guide(guidance, pictures(8, normal=False), step=9)


def test_the_warm_up_needs_four_channels(tiny_folder: Folders) -> None:
    with pytest.raises(ConfigError, match="4 latent channels, tiny has 8"):
        StableDiffusion(replace(BASE, as_latent_until_step=10), tiny_folder(latent_channels=8), CPU)


def test_any_number_of_latent_channels_and_steps(tiny_folder: Folders) -> None:
    folder = tiny_folder(latent_channels=8, train_steps=50)
    guidance = StableDiffusion(replace(BASE, min_step_fraction=Schedule.constant(0.9)), folder, CPU)
    guided = guide(guidance, pictures())
    assert all(45 <= step <= 49 for step in guided.timestep.tolist())


def test_timesteps_follow_their_schedules(tiny_folder: Folders) -> None:
    high = Schedule(0.9, 0.1, 0, 100)
    config = replace(BASE, max_step_fraction=high, min_step_fraction=Schedule(0.9, 0.1, 0, 100))
    guidance = StableDiffusion(config, tiny_folder(), CPU)
    assert guide(guidance, pictures(), step=0).timestep.tolist() == [900, 900]
    assert guide(guidance, pictures(), step=100).timestep.tolist() == [100, 100]
    assert guide(guidance, pictures(), step=50).metrics["timestep"] == 500.0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_full_precision(tiny_folder: Folders, dtype: str) -> None:
    expected = gradient_of(BASE, tiny_folder())
    actual = gradient_of(replace(BASE, dtype=dtype), tiny_folder())
    assert actual.dtype == torch.float32
    cosine = torch.nn.functional.cosine_similarity(actual.flatten(), expected.flatten(), dim=0)
    assert cosine > 0.9


@pytest.mark.parametrize("by", ["value", "norm"])
def test_the_gradient_is_clipped(tiny_folder: Folders, by: str) -> None:
    config = replace(BASE, grad_clip=Schedule.constant(0.01), grad_clip_by=by, sds_form="backward")
    guided = guide(StableDiffusion(config, tiny_folder(), CPU), pictures())
    _, gradient = guided.gradients["sds"]
    per_view = 2.0 * gradient
    largest = per_view.abs().max() if by == "value" else per_view.flatten(1).norm(dim=1).max()
    assert largest.item() == pytest.approx(0.01, rel=1e-4)


def test_a_rescaled_prediction_has_the_conditional_spread(tiny_folder: Folders) -> None:
    step = Step(replace(BASE, cfg_rescale=1.0), tiny_folder())
    cond = step.alone(step.condition.text)
    torch.testing.assert_close(step.guided.std(dim=(1, 2, 3)), cond.std(dim=(1, 2, 3)), rtol=1e-4, atol=1e-5)


def test_memory_savers_change_nothing(tiny_folder: Folders, caplog: pytest.LogCaptureFixture) -> None:
    saving = replace(BASE, attention_slicing=True, channels_last=True, cpu_offload="model")
    expected = gradient_of(BASE, tiny_folder())
    torch.testing.assert_close(gradient_of(saving, tiny_folder()), expected, rtol=1e-3, atol=1e-5)
    assert "cpu_offload=model changes nothing" in caplog.text


def test_debug_pictures_only_when_wanted(tiny_folder: Folders) -> None:
    shown = guide(StableDiffusion(BASE, tiny_folder(), CPU), pictures())
    assert list(shown.debug()) == ["reconstruction", "noisy", "denoised-one-step", "denoised-fully"]
    shorter = guide(StableDiffusion(replace(BASE, debug_steps=0), tiny_folder(), CPU), pictures())
    assert "denoised-fully" not in shorter.debug()
    assert guide(StableDiffusion(replace(BASE, debug=False), tiny_folder(), CPU), pictures()).debug is None


def test_denoising_fully_in_one_step_is_the_one_step_picture(tiny_folder: Folders) -> None:
    shown = guide(StableDiffusion(replace(BASE, debug_steps=1), tiny_folder(), CPU), pictures()).debug()
    torch.testing.assert_close(shown["denoised-fully"], shown["denoised-one-step"])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_denoising_fully_with_a_perfect_denoiser_finds_the_image(tiny_folder: Folders, prediction: str) -> None:
    guidance = StableDiffusion(replace(BASE, debug_steps=7), tiny_folder(prediction_type=prediction), CPU)
    denoiser = guidance.denoiser
    clean = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    seen: list[Tensor] = []

    def perfect(noisy: Tensor, timestep: Tensor, text: Tensor, cameras: None = None) -> Tensor:
        alpha_bar = denoiser.alpha_bar(timestep)
        signal, noise = signal_and_noise(alpha_bar)
        truth = clean.repeat(len(noisy) // 2, 1, 1, 1)
        seen.append(timestep)
        epsilon = (noisy - signal * truth) / noise
        return epsilon if prediction == "epsilon" else v_from_epsilon(truth, epsilon, alpha_bar)

    denoiser.predict = perfect
    found = guide(guidance, pictures()).debug()["denoised-fully"]
    torch.testing.assert_close(found, denoiser.decode(clean).permute(0, 2, 3, 1), rtol=1e-3, atol=1e-3)
    assert not found.requires_grad and len(seen) == 1 + 7


def test_looking_draws_no_random_number(tiny_folder: Folders) -> None:
    guidance, generator = StableDiffusion(BASE, tiny_folder(), CPU), torch.Generator().manual_seed(0)
    guided = guidance(pictures(), condition_of(guidance), cameras_around([0.0, 90.0]), 0, generator)
    before, everywhere = generator.get_state(), torch.get_rng_state()
    guided.debug()
    assert torch.equal(generator.get_state(), before)
    assert torch.equal(torch.get_rng_state(), everywhere)


def test_a_broken_picture_is_blamed_on_the_renderer(tiny_folder: Folders) -> None:
    rendered = pictures()
    broken = replace(rendered, image=torch.where(rendered.image > 0.5, torch.nan, rendered.image))
    with pytest.raises(NonFiniteError, match=r"^rendered image: .* step 3"):
        guide(StableDiffusion(BASE, tiny_folder(), CPU), broken, step=3)


def test_a_broken_denoiser_is_named_with_a_cure(tiny_folder: Folders) -> None:
    guidance = StableDiffusion(BASE, tiny_folder(), CPU)
    predict = guidance.denoiser.predict
    guidance.denoiser.predict = lambda *arguments: predict(*arguments) * torch.inf
    with pytest.raises(NonFiniteError, match=r"denoiser.*in float32; try guidance.dtype=float32"):
        guide(guidance, pictures())


def test_other_predictions_are_refused(tiny_folder: Folders) -> None:
    with pytest.raises(ModelError, match="predicts 'sample'"):
        StableDiffusion(BASE, tiny_folder(prediction_type="sample"), CPU)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model_index\.json"):
        StableDiffusion(BASE, tmp_path, CPU)


def test_a_picture_needs_three_channels(tiny_folder: Folders) -> None:
    with pytest.raises(ValueError, match="3 channels, got 4"):
        guide(StableDiffusion(BASE, tiny_folder(), CPU), pictures(channels=4))
