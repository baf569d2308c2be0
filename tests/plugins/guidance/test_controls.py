"""Tests of ControlNets beside `stable-diffusion`, with tiny networks of diffusers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from tests.framework.weights.conftest import FakeHub
from tests.plugins.guidance.editing_models import tiny_controlnet
from torch import Tensor

from bozzetto.config.loading import load_recipe
from bozzetto.errors import ConfigError, ModelError
from bozzetto.kinds.guidance import UsesFurtherModels
from bozzetto.math.schedules import Schedule
from bozzetto.registry.discovery import Registry
from bozzetto.runs.start import Prepared, fetched, plans_for
from bozzetto.testing.fakes import cameras_around, tiny_stable_diffusion
from bozzetto.testing.guidance import GuidanceContract
from bozzetto.testing.prior import PriorContract
from bozzetto.types import Cameras, Rendered, ViewCondition
from bozzetto.weights.download import SETTINGS
from bozzetto.weights.folder import missing_parts
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.control_config import ControlConfig, check_controls
from bozzetto_plugins.guidance.stable_diffusion import StableDiffusion

Folders = Callable[..., Path]
CPU = torch.device("cpu")
RECIPE = Path(__file__).parents[3] / "configs" / "texture-controlnet.yaml"


@pytest.fixture(scope="module")
def control(tiny_folder: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a ControlNet that adds something."""
    return tiny_controlnet(tmp_path_factory.mktemp("control") / "net", tiny_folder(), seed=3)


@pytest.fixture(scope="module")
def silent(tiny_folder: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a ControlNet as it begins its training: it adds zeros."""
    return tiny_controlnet(tmp_path_factory.mktemp("control") / "net", tiny_folder())


def guidance(folder: Path, *nets: Path, scale: Schedule | None = None, dtype: str = "float32") -> StableDiffusion:
    """Return the guidance with a ControlNet of normals, then ones of depth."""
    controls = tuple(
        ControlConfig(str(net), "depth" if index else "normal", scale or Schedule.constant(1.0))
        for index, net in enumerate(nets)
    )
    made = StableDiffusion(StableDiffusionConfig(model="tiny", dtype=dtype, controls=controls), folder, CPU)
    if nets:
        made.use_models({str(net): net for net in nets})
    return made


def rendering(views: int = 2) -> tuple[Rendered, Cameras]:
    generator = torch.Generator().manual_seed(7)
    image = torch.rand(views, 32, 32, 3, generator=generator).requires_grad_()
    opacity = torch.rand(views, 32, 32, 1, generator=generator).requires_grad_()
    normal = torch.nn.functional.normalize(torch.randn(views, 32, 32, 3, generator=generator), dim=-1) * opacity
    depth = (2.0 + torch.rand(views, 32, 32, 1, generator=generator)) * opacity
    return Rendered(image, opacity, depth, normal), cameras_around([0.0, 90.0][:views], size=32)


def of_view(rendered: Rendered, cameras: Cameras, view: int) -> tuple[Rendered, Cameras]:
    at = slice(view, view + 1)
    assert rendered.normal is not None
    return (
        Rendered(rendered.image[at], rendered.opacity[at], rendered.depth[at], rendered.normal[at]),
        Cameras(cameras.c2w[at], cameras.fov_y_rad[at], cameras.height, cameras.width),
    )


def predicted(made: StableDiffusion, rendered: Rendered, cameras: Cameras, step: int = 0) -> Tensor:
    """Return the outputs of both branches at noisy latents that are always the same for a view."""
    text = made.encode_text(["a ball", ""])
    count = len(cameras)
    condition = ViewCondition(text[:1].expand(count, -1, -1), text[1:].expand(count, -1, -1))
    prior = made.prior(condition, cameras, step)
    prior.latents(rendered, torch.Generator().manual_seed(0))
    noisy = torch.linspace(-2.0, 2.0, 256).view(1, 4, 8, 8).expand(count, -1, -1, -1)
    found = prior.predict(noisy, torch.full((count,), 400), ["cond", "uncond"])
    return torch.stack([found["cond"], found["uncond"]])


def test_one_that_adds_zeros_is_the_stock_model_bit_for_bit(tiny_folder: Folders, silent: Path, control: Path) -> None:
    stock = predicted(guidance(tiny_folder()), *rendering())
    assert torch.equal(predicted(guidance(tiny_folder(), silent), *rendering()), stock)
    assert torch.equal(predicted(guidance(tiny_folder(), silent, silent), *rendering()), stock)
    assert not torch.allclose(predicted(guidance(tiny_folder(), control), *rendering()), stock, atol=1e-3)


def test_scale_zero_is_the_stock_model_and_is_not_computed(tiny_folder: Folders, control: Path) -> None:
    ends = Schedule.parse({"from": 1.0, "to": 0.0, "until_step": 10})
    made = guidance(tiny_folder(), control, scale=ends)
    assert made.needs_normal(0) and not made.needs_normal(10)
    stock = guidance(tiny_folder())
    assert not stock.needs_normal(0)
    rendered, cameras = rendering()
    without = replace(rendered, normal=None)
    assert torch.equal(predicted(made, without, cameras, step=10), predicted(stock, rendered, cameras, step=10))
    with pytest.raises(ConfigError, match="normal reads rendered normals"):
        predicted(made, without, cameras, step=0)


def test_the_scale_is_in_both_branches(tiny_folder: Folders, control: Path) -> None:
    rendered, cameras = rendering()
    stock, some, more = (
        predicted(made, rendered, cameras)
        for made in (
            guidance(tiny_folder()),
            guidance(tiny_folder(), control, scale=Schedule.constant(0.01)),
            guidance(tiny_folder(), control, scale=Schedule.constant(0.02)),
        )
    )
    for branch in (0, 1):
        first, second = (some - stock)[branch], (more - stock)[branch]
        assert first.abs().max() > 1e-5
        assert (second - 2.0 * first).norm() < 0.1 * second.norm()  # to first order


def test_a_batch_of_two_is_two_singles(tiny_folder: Folders, control: Path) -> None:
    made = guidance(tiny_folder(), control, control)
    rendered, cameras = rendering()
    both = predicted(made, rendered, cameras)
    for view in (0, 1):
        alone = predicted(made, *of_view(rendered, cameras, view))
        torch.testing.assert_close(both[:, view : view + 1], alone, atol=1e-5, rtol=1e-4)


def test_the_prediction_is_that_of_diffusers_pipeline(tiny_folder: Folders, control: Path) -> None:
    """The pipeline's own denoiser, at the step's latents, given the same map and texts."""
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(
        tiny_folder(), controlnet=ControlNetModel.from_pretrained(control), safety_checker=None, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    seen = []
    pipeline.unet.register_forward_hook(lambda net, given, named, out: seen.append((given, out[0])), with_kwargs=True)
    made = guidance(tiny_folder(), control, scale=Schedule.constant(1.5))
    rendered, cameras = of_view(*rendering(), 0)
    assert made.denoiser.controls is not None
    (shown,) = made.denoiser.controls.maps(rendered, cameras, 0)
    pipeline(
        "a ball", image=shown, num_inference_steps=1, guidance_scale=7.5, controlnet_conditioning_scale=1.5,
        generator=torch.Generator().manual_seed(0), output_type="latent",
    )  # fmt: skip
    (noisy, timestep), expected = seen[0]
    text = made.encode_text(["a ball", ""])
    prior = made.prior(ViewCondition(text[:1], text[1:]), cameras, 0)
    prior.latents(rendered, torch.Generator().manual_seed(0))
    found = prior.predict(noisy[:1], timestep.expand(1), ["uncond", "cond"])
    assert torch.equal(noisy[0], noisy[1])
    torch.testing.assert_close(torch.cat([found["uncond"], found["cond"]]), expected, atol=1e-5, rtol=1e-5)


def test_no_gradient_passes_through_the_condition_or_reaches_a_network(tiny_folder: Folders, control: Path) -> None:
    made = guidance(tiny_folder(), control, control)
    rendered, cameras = rendering()
    text = made.encode_text(["a ball", ""])
    condition = ViewCondition(text[:1].expand(2, -1, -1), text[1:].expand(2, -1, -1))
    guided = made(rendered, condition, cameras, 0, torch.Generator().manual_seed(0))
    guided.losses["sds"].backward()
    assert rendered.image.grad is not None and bool(rendered.image.grad.abs().max() > 0)
    assert rendered.opacity.grad is None
    assert made.denoiser.controls is not None
    networks = [one.network for one in made.denoiser.controls.controls]
    assert not any(value.requires_grad or value.grad is not None for net in networks for value in net.parameters())


def test_half_precision_gives_finite_predictions_like_the_full_one(tiny_folder: Folders, control: Path) -> None:
    rendered, cameras = rendering()
    half = predicted(guidance(tiny_folder(), control, dtype="bfloat16"), rendered, cameras)
    assert half.dtype == torch.float32
    full = predicted(guidance(tiny_folder(), control), rendered, cameras)
    torch.testing.assert_close(half, full, atol=0.1 * float(full.abs().max()), rtol=0.0)


def test_predicting_before_encoding_is_an_error(tiny_folder: Folders, control: Path) -> None:
    made = guidance(tiny_folder(), control)
    text = made.encode_text(["a ball", ""])
    prior = made.prior(ViewCondition(text[:1], text[1:]), cameras_around([0.0]), 0)
    with pytest.raises(ConfigError, match="encode a rendering before"):
        prior.predict(torch.zeros(1, 4, 8, 8), torch.tensor([5]), ["cond"])


def test_the_weights_are_offloaded_with_the_denoiser(tiny_folder: Folders, control: Path) -> None:
    made = guidance(tiny_folder(), control)
    assert isinstance(made, UsesFurtherModels) and made.denoiser.controls is not None
    rests = []
    (one,) = made.denoiser.controls.controls
    made.denoiser.controls.controls = (replace(one, rest=lambda: rests.append(1)),)
    made.rest()
    assert rests == [1]


class TestContract(GuidanceContract):
    @pytest.fixture(autouse=True)
    def _folders(self, tiny_folder: Folders, control: Path) -> None:
        self.folder, self.control = tiny_folder(), control

    def make(self) -> StableDiffusion:
        return guidance(self.folder, self.control, self.control)


class TestPrior(PriorContract):
    @pytest.fixture(autouse=True)
    def _folders(self, tiny_folder: Folders, control: Path) -> None:
        self.folder, self.control = tiny_folder(), control

    def make(self) -> StableDiffusion:
        return guidance(self.folder, self.control)


def test_one_of_another_family_is_refused(tmp_path: Path, tiny_folder: Folders, control: Path) -> None:
    check_controls(tiny_folder(), [control])
    assert missing_parts(control) == []
    wide = tiny_stable_diffusion(tmp_path / "wide")
    settings = wide / "unet" / "config.json"
    settings.write_text(settings.read_text().replace('"cross_attention_dim": 16', '"cross_attention_dim": 1024'))
    with pytest.raises(ModelError, match="whose cross_attention_dim is 16, and that of the model has 1024"):
        check_controls(wide, [control])
    with pytest.raises(ModelError, match="not ControlNetModel"):
        check_controls(tiny_folder(), [tiny_folder() / "unet"])
    settings.write_text(settings.read_text().replace("UNet2DConditionModel", "CameraUNet"))
    with pytest.raises(ModelError, match="takes no ControlNet"):
        check_controls(wide, [control])


def test_the_recipe_plans_and_checks_both_models(
    registry: Registry, tiny_folder: Folders, control: Path, tmp_path: Path
) -> None:
    guided = "system.tasks.random.guidance"
    given = [f"{guided}.model={tiny_folder()}", f"{guided}.controls=[{{model: {control}, map: normal}}]"]
    recipe = load_recipe(RECIPE, registry, given, "cpu")
    assert set(plans_for(recipe, registry)) == {str(tiny_folder()), str(control)}
    wrong = [given[0], f"{guided}.controls=[{{model: {tiny_folder() / 'unet'}, map: normal}}]"]
    with pytest.raises(ModelError, match=r"guidance\.controls: .* not ControlNetModel"):
        plans_for(load_recipe(RECIPE, registry, wrong, "cpu"), registry)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"model_index.json": {"_class_name": "StableDiffusionPipeline"}}, "is a whole model"),
        ({"config.json": {"_class_name": "ControlNetModel", "cross_attention_dim": 768}}, "of the model has 16"),
    ],
)
def test_a_run_downloads_only_the_settings_of_a_wrong_control(
    registry: Registry, tiny_folder: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, dict[str, object]], reason: str,
) -> None:  # fmt: skip
    files = [*settings, "unet/model.safetensors", "vae/model.safetensors", "diffusion_pytorch_model.safetensors"]
    FakeHub(monkeypatch, tmp_path, {"owner/wrong": files})
    asked: list[list[str]] = []

    def download(repo_id: str, revision: str | None, allow_patterns: list[str], etag_timeout: float) -> str:
        asked.append(allow_patterns)
        for name, values in settings.items():
            (tmp_path / name).write_text(json.dumps(values))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr("bozzetto.weights.plans._cached", lambda repository: None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    guided = "system.tasks.random.guidance"
    given = [f"{guided}.model={tiny_folder()}", f"{guided}.controls=[{{model: owner/wrong, map: normal}}]"]
    recipe = load_recipe(RECIPE, registry, given, "cpu")
    with pytest.raises(ModelError, match=rf"{guided}\.controls: .*{reason}"):
        fetched(Prepared(recipe, plans_for(recipe, registry)))
    assert asked == [SETTINGS]


@pytest.mark.parametrize(
    ("controls", "reason"),
    [
        ("[{model: controlnet-depth, map: depth, scale: 0}]", "always 0, so it has no effect"),
        ("[{model: controlnet-depth, map: colour}]", r"controls\[0\].map: 'colour' is not one of normal, depth"),
        ("[{model: controlnet-depth, map: depth, scale: .nan}]", "scale"),
    ],
)
def test_a_control_without_effect_or_meaning_is_refused(registry: Registry, controls: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_recipe(RECIPE, registry, [f"system.tasks.random.guidance.controls={controls}"], "cpu")


def test_normals_of_a_scene_without_any_are_refused(registry: Registry, tmp_path: Path) -> None:
    recipe = load_recipe(RECIPE, registry, [], "cpu")
    (stage,) = recipe.stages
    bare = replace(stage.renderer.entry, spec=replace(stage.renderer.entry.spec, provides=frozenset()))
    guided = stage.tasks[0].guidance
    assert guided is not None
    with pytest.raises(ValueError, match="neither the geometry nor the renderer gives"):
        guided.config.check_neighbours(replace(stage, renderer=replace(stage.renderer, entry=bare)), stage.tasks[0])
