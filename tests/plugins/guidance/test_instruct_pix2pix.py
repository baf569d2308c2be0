"""Tests of `instruct-pix2pix` with tiny networks of diffusers: its prior, its edited pictures, and its recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from tests.plugins.guidance.editing_models import tiny_instruct_pix2pix
from torch import Tensor

from bozzetto.config.loading import load_recipe
from bozzetto.engine.pipeline import Pipeline
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import ConfigError, ModelError
from bozzetto.kinds.kept_views import KeepsViews
from bozzetto.kinds.scene import Scene
from bozzetto.math.schedules import Schedule
from bozzetto.registry.discovery import Registry
from bozzetto.testing.fakes import cameras_around
from bozzetto.testing.prior import PriorContract
from bozzetto.types import Cameras, Rendered, ViewCondition
from bozzetto_plugins.guidance.instruct_pix2pix import InstructPix2Pix
from bozzetto_plugins.guidance.instruct_pix2pix_config import InstructPix2PixConfig
from bozzetto_plugins.score.axes import GuiderConfig
from bozzetto_plugins.score.config import DistillationConfig
from bozzetto_plugins.score.distillation import Distillation

CPU = torch.device("cpu")
RECIPE = Path(__file__).parents[3] / "configs" / "edit-ip2p.yaml"
EVERY = cameras_around([0.0, 90.0, 180.0], size=16)
SETTINGS = InstructPix2PixConfig(model="tiny", dtype="float32", edit_every=2, edit_steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_instruct_pix2pix(tmp_path_factory.mktemp("editing") / "model")


class Pictures(Scene):
    """Scene that shows a picture of its own for each view."""

    def __init__(self) -> None:
        """Hold no parts."""

    def render(self, cameras: Cameras, normal: bool = False) -> Rendered:
        return rendering(cameras)


def rendering(cameras: Cameras) -> Rendered:
    """Return smooth images that depend on the camera alone."""
    ramp = torch.linspace(0.1, 0.9, cameras.width)
    shift = 0.5 + 0.4 * torch.sin(cameras.position[:, :, None, None])
    image = (shift * ramp.expand(1, 1, cameras.height, -1)).permute(0, 2, 3, 1)
    flat = torch.ones_like(image[..., :1])
    return Rendered(image.clone().requires_grad_(), flat, flat)


def guidance(folder: Path, config: InstructPix2PixConfig = SETTINGS) -> InstructPix2Pix:
    made = InstructPix2Pix(config, folder, CPU)
    made.keep(EVERY)
    made.begin(Pictures())
    return made


def some(*numbers: int) -> Cameras:
    at = torch.tensor(numbers)
    return Cameras(EVERY.c2w[at], EVERY.fov_y_rad[at], EVERY.height, EVERY.width)


def condition(made: InstructPix2Pix, count: int) -> ViewCondition:
    text = made.encode_text(["make it bronze", ""])
    return ViewCondition(text[:1].expand(count, -1, -1), text[1:].expand(count, -1, -1))


def outputs(made: InstructPix2Pix, cameras: Cameras) -> Tensor:
    prior = made.prior(condition(made, len(cameras)), cameras, 0)
    noisy = torch.linspace(-2.0, 2.0, 256).view(1, 4, 8, 8).expand(len(cameras), -1, -1, -1)
    found = prior.predict(noisy, torch.full((len(cameras),), 400), ["cond", "image", "uncond"])
    return torch.stack([found["cond"], found["image"], found["uncond"]])


class TestPrior(PriorContract):
    @pytest.fixture(autouse=True)
    def _folder(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> InstructPix2Pix:
        made = InstructPix2Pix(SETTINGS, self.folder, CPU)
        made.keep(self.cameras())
        made.begin(Pictures())
        return made


def test_it_keeps_what_the_scene_showed_with_the_mode_of_its_latents_not_scaled(folder: Path) -> None:
    made = guidance(folder)
    assert isinstance(made, KeepsViews)
    shown = rendering(EVERY).image.detach().permute(0, 3, 1, 2)
    every = torch.arange(3)
    torch.testing.assert_close(made.views.target(every), shown, atol=0.5 / 255.0 + 1e-6, rtol=0.0)
    with torch.no_grad():
        mode = made.denoiser.vae.encode(2.0 * made.views.target(every) - 1.0).latent_dist.mode()
    torch.testing.assert_close(made.views.latents, mode, atol=1e-5, rtol=1e-5)
    assert made.denoiser.vae.config.scaling_factor != 1.0
    assert torch.equal(made.views.edits, torch.zeros(3, dtype=torch.int64))


def test_the_three_predictions_are_those_of_diffusers_pipeline(folder: Path) -> None:
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        folder, safety_checker=None, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    seen = []
    pipeline.unet.register_forward_hook(lambda net, given, named, out: seen.append((given, out[0])), with_kwargs=True)
    made = guidance(folder)
    pipeline(
        "make it bronze", image=made.views.target(torch.tensor([1])), num_inference_steps=1,
        generator=torch.Generator().manual_seed(0), output_type="latent",
    )  # fmt: skip
    (inputs, timestep), expected = seen[0]
    prior = made.prior(condition(made, 1), some(1), 0)
    found = prior.predict(inputs[:1, :4], timestep.expand(1), ["cond", "image", "uncond"])
    torch.testing.assert_close(torch.cat([*found.values()]), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(inputs[2, 4:], torch.zeros_like(inputs[2, 4:]))


def test_a_batch_of_two_is_two_singles_each_with_its_own_picture(folder: Path) -> None:
    made = guidance(folder)
    both = outputs(made, some(2, 0))
    for index, number in enumerate((2, 0)):
        torch.testing.assert_close(both[:, index : index + 1], outputs(made, some(number)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both[2, 0], both[2, 1], atol=1e-5, rtol=1e-4)  # told neither text nor picture
    assert not torch.allclose(both[1, 0], both[1, 1], atol=1e-3)


def test_half_precision_is_close_to_full(folder: Path) -> None:
    full = outputs(guidance(folder), some(0, 1))
    half = outputs(guidance(folder, replace(SETTINGS, dtype="bfloat16")), some(0, 1))
    torch.testing.assert_close(half, full, atol=0.1 * float(full.abs().max()), rtol=0.0)


def step(made: InstructPix2Pix, number: int, generator: torch.Generator, *views: int) -> Tensor:
    """Run one step; return the gradient in the images."""
    cameras = some(*views)
    rendered = rendering(cameras)
    guided = made(rendered, condition(made, len(views)), cameras, number, generator)
    guided.losses["edit"].backward()
    assert rendered.image.grad is not None
    return rendered.image.grad


def test_every_second_step_edits_the_first_view_and_others_draw_nothing(folder: Path) -> None:
    made, generator = guidance(folder), torch.Generator().manual_seed(0)
    original = made.views.pictures.clone()
    state = generator.get_state()
    step(made, 1, generator, 0, 1)
    assert torch.equal(generator.get_state(), state) and torch.equal(made.views.pictures, original)
    gradient = step(made, 2, generator, 2, 1)
    assert made.views.edits.tolist() == [0, 0, 1]
    assert torch.equal(made.views.pictures[:2], original[:2])
    assert not torch.equal(made.views.pictures[2], original[2])
    assert gradient[0].abs().sum() > gradient[1].abs().sum() / 2
    assert not any(value.requires_grad for net in (made.denoiser.unet, made.denoiser.vae) for value in net.parameters())


def test_an_edit_is_the_denoised_rendering_on_condition_of_the_original(folder: Path) -> None:
    """A hand-written DDIM loop with the three-way mix, from the same noise."""
    config = replace(SETTINGS, encode="mode", min_step_fraction=Schedule.constant(0.5), edit_steps=4)
    made, generator = guidance(folder, config), torch.Generator().manual_seed(3)
    cameras = some(1)
    moved = replace(rendering(cameras), image=1.0 - rendering(cameras).image)
    guided = made(moved, condition(made, 1), cameras, 0, generator)
    again = torch.Generator().manual_seed(3)
    first = int(torch.randint(500, 981, (1,), generator=again))
    noise = torch.randn(1, 4, 8, 8, generator=again)
    assert int(guided.timestep) == first
    bars, prior = made.denoiser.alpha_bars, made.prior(condition(made, 1), cameras, 0)
    factor = made.denoiser.vae.config.scaling_factor
    latents = factor * made.denoiser.mode_of(moved.image.detach().permute(0, 3, 1, 2))
    latents = bars[first].sqrt() * latents + (1.0 - bars[first]).sqrt() * noise
    for left in (4, 3, 2, 1):
        now, after = first * left // 4, first * (left - 1) // 4
        found = prior.predict(latents, torch.tensor([now]), ["cond", "image", "uncond"])
        eps = found["uncond"] + 7.5 * (found["cond"] - found["image"]) + 1.5 * (found["image"] - found["uncond"])
        clean = (latents - (1.0 - bars[now]).sqrt() * eps) / bars[now].sqrt()
        latents = bars[after].sqrt() * clean + (1.0 - bars[after]).sqrt() * eps
    expected = made.denoiser.decode(clean)
    torch.testing.assert_close(made.views.target(torch.tensor([1])), expected, atol=1.01 / 255.0, rtol=0.0)


def test_a_picture_pulls_the_rendering_toward_itself(folder: Path) -> None:
    made = guidance(folder)
    rendered = rendering(some(0))
    image = (rendered.image.detach() + 0.05).requires_grad_()
    guided = made(replace(rendered, image=image), condition(made, 1), some(0), 1, torch.Generator())
    torch.testing.assert_close(guided.losses["edit"], torch.tensor(0.05), atol=2e-3, rtol=0.0)
    guided.losses["edit"].backward()
    assert bool((image.grad > 0).all())


def test_resumed_pictures_are_the_same_bit_for_bit(folder: Path) -> None:
    first, generator = guidance(folder), torch.Generator().manual_seed(1)
    for number in range(3):
        step(first, number, generator, number)
    saved, state = {name: value.clone() for name, value in first.views.state_dict().items()}, generator.get_state()
    for number in range(3, 6):
        unbroken = step(first, number, generator, number % 3)
    resumed, generator = InstructPix2Pix(SETTINGS, folder, CPU), torch.Generator()
    resumed.keep(EVERY).load_state_dict(saved)
    generator.set_state(state)
    for number in range(3, 6):
        again = step(resumed, number, generator, number % 3)
    assert torch.equal(again, unbroken)
    assert all(torch.equal(a, b) for a, b in zip(first.views.buffers(), resumed.views.buffers(), strict=True))


def test_a_score_distils_with_three_way_guidance(folder: Path) -> None:
    made = guidance(folder)
    score = Distillation(DistillationConfig(guider=GuiderConfig("three-way", Schedule.constant(7.5))))
    cameras = some(0, 2)
    rendered = rendering(cameras)
    guided = score(made.prior(condition(made, 2), cameras, 0), rendered, 0, torch.Generator().manual_seed(0))
    guided.losses["score"].backward()
    assert rendered.image.grad is not None
    assert bool((rendered.image.grad.flatten(1).norm(dim=1) > 0).all())
    assert made.views.edits.sum() == 0


def test_other_cameras_and_no_views_are_errors(folder: Path) -> None:
    made = guidance(folder)
    with pytest.raises(ConfigError, match="none of them"):
        made.prior(condition(made, 1), cameras_around([10.0], size=16), 0)
    with pytest.raises(ConfigError, match="fixed-views"):
        InstructPix2Pix(SETTINGS, folder, CPU).prior(condition(made, 1), some(0), 0)


def test_debug_images_show_the_original_and_the_edit(folder: Path) -> None:
    made = guidance(folder)
    guided = made(rendering(some(1)), condition(made, 1), some(1), 0, torch.Generator().manual_seed(0))
    assert guided.debug is not None
    shown = guided.debug()
    assert set(shown) == {"original", "edited"}
    assert all(image.shape == (1, 16, 16, 3) for image in shown.values())


def test_a_model_that_edits_nothing_is_refused(tiny_folder: Callable[..., Path], folder: Path) -> None:
    SETTINGS.require_weights(folder)
    with pytest.raises(ModelError, match="does not edit pictures: its denoiser reads 4 channels"):
        SETTINGS.require_weights(tiny_folder())


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("system.tasks.edit.views={type: orbit}", "needs fixed-views"),
        ("system.tasks.edit.score=distillation", "weigh them separately"),
        ("trainer.devices=2", "devices"),
        ("system.tasks.edit.guidance.min_step_fraction=0.99", "must not exceed max_step_fraction"),
        ("system.tasks.edit.guidance.scale=.nan", "scale"),
    ],
)
def test_what_cannot_edit_is_refused_when_the_recipe_is_read(registry: Registry, override: str, reason: str) -> None:
    with_score = ["system.tasks.edit.losses={edit: null, score: 1.0}"] if "score" in override else []
    with pytest.raises(ConfigError, match=reason):
        load_recipe(RECIPE, registry, [override, *with_score], "cpu")


TINY = (
    "trainer.steps=6", "trainer.checkpoint_every=3", "trainer.image_every=0", "export={}", "trainer.log_every=1",
    "system.tasks.edit.views.views_per_ring=2", "system.tasks.edit.views.elevation_deg=[0]",
    "system.tasks.edit.views.height=16", "system.tasks.edit.views.width=16",
    "system.tasks.edit.guidance.dtype=float32", "system.tasks.edit.guidance.edit_every=2",
    "system.tasks.edit.guidance.edit_steps=2", "system.geometry.features.levels=2",
    "system.geometry.features.log2_table_size=8",
)  # fmt: skip


def train(registry: Registry, folder: Path, output: Path, steps: int, at: RunFolder | None = None) -> RunFolder:
    """Train the recipe with a tiny model up to a step, in a new run folder or on from its checkpoint."""
    given = [*TINY, f"system.tasks.edit.guidance.model={folder}", f"output={output}", f"trainer.steps={steps}"]
    recipe = load_recipe(RECIPE, registry, given, "cpu")
    run = at or RunFolder.create(recipe, ["test"], {})
    Pipeline(registry, run, {str(folder): folder}, None, CPU, lambda line: None).train(recipe, 0)
    return run


def test_the_recipe_edits_and_resumes_bit_for_bit(registry: Registry, folder: Path, tmp_path: Path) -> None:
    whole = train(registry, folder, tmp_path / "whole", 6)
    parts = train(registry, folder, tmp_path / "parts", 3)
    train(registry, folder, tmp_path / "parts", 6, parts)
    first, second = (torch.load(run.checkpoint("main"), weights_only=True)["state_dict"] for run in (whole, parts))
    assert first.keys() == second.keys()
    assert {"guided.edit.pictures", "guided.edit.latents", "guided.edit.edits"} <= first.keys()
    assert int(first["guided.edit.edits"].sum()) == 3
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
