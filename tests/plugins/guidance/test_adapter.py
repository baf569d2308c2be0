"""Tests of the adapter of a denoiser: a tiny diffusers UNet, and a bundled prior's network of random weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.kinds.score import Branch
from bozzetto.math.levels import add_noise_at
from bozzetto.math.particle_score import adapter_loss
from bozzetto.math.schedules import Schedule
from bozzetto.math.timesteps import timestep_weight
from bozzetto.testing.fakes import cameras_around, tiny_stable_diffusion
from bozzetto.types import Guided, Rendered, ViewCondition
from bozzetto_plugins.guidance.adapter import Adapter
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.latent_prior import LatentPrior
from bozzetto_plugins.guidance.stable_diffusion import StableDiffusion
from bozzetto_plugins.priors.camera_denoiser import CameraSettings
from bozzetto_plugins.priors.camera_network import CameraNetwork
from bozzetto_plugins.score.axes import GuiderConfig, ReferenceConfig
from bozzetto_plugins.score.config import DistillationConfig
from bozzetto_plugins.score.distillation import Distillation

CPU = torch.device("cpu")
CAMERAS = cameras_around([0.0, 90.0], size=16)
POSE = CAMERAS.c2w.flatten(1)
TIMES = torch.tensor([100, 900])
VSD = DistillationConfig(
    guider=GuiderConfig(scale=Schedule.constant(7.5)), reference=ReferenceConfig("adapter"), form="backward"
)


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def guidance_of(folder: Path, dtype: str = "float32") -> StableDiffusion:
    return StableDiffusion(StableDiffusionConfig(model="tiny", dtype=dtype, encode="mode"), folder, CPU)


def condition_of(guidance: StableDiffusion) -> ViewCondition:
    """Return a condition whose plain prompt is that of the views."""
    text = guidance.encode_text(["a ball", "blurry"]).repeat_interleave(2, dim=0)
    return ViewCondition(text[:2], text[2:], plain=text[:2])


def rendered() -> Rendered:
    image = torch.rand(2, 16, 16, 3, generator=torch.Generator().manual_seed(2)).requires_grad_()
    return Rendered(image, torch.ones(2, 16, 16, 1), torch.ones(2, 16, 16, 1))


def scored(score: Distillation, guidance: StableDiffusion, views: Rendered) -> Guided:
    prior = guidance.prior(condition_of(guidance), CAMERAS, 0)
    return score(prior, views, 0, torch.Generator().manual_seed(5))


def test_at_first_the_gradient_is_that_of_the_classifier(tiny_model) -> None:
    """`w (g - 1) (cond - uncond)`, with the same text for the adapter, whose prediction is the conditional one exactly.

    Bit for bit if both are asked for the same views in the same layout: batches of another size, as guidance makes of
    its branches, run other kernels. Then the gradient differs from the formula by rounding alone: in float32
    `uncond + g (cond - uncond) - cond` rounds numbers of the size of the predictions by up to 2^-24 each, less than a
    millionth of the largest value in all.
    """
    guidance, score, seen = guidance_of(tiny_model), Distillation(VSD), {}
    score.attach(guidance)
    prior = guidance.prior(condition_of(guidance), CAMERAS, 0)
    assert isinstance(prior, LatentPrior) and prior.adapted is not None
    ask, ask_adapted = prior.outputs, prior.adapted

    def outputs(noisy: Tensor, timestep: Tensor, branches: Sequence[Branch]) -> dict[Branch, Tensor]:
        seen["timestep"] = timestep
        seen.update({branch: ask(noisy.contiguous(), timestep, [branch])[branch] for branch in branches})
        return {branch: seen[branch] for branch in branches}

    def adapted(noisy: Tensor, timestep: Tensor, branch: Branch, told: Tensor) -> Tensor:
        seen["adapter"] = ask_adapted(noisy.contiguous(), timestep, branch, told)
        return seen["adapter"]

    apart = replace(prior, outputs=outputs, adapted=adapted)
    _, mean = score(apart, rendered(), 0, torch.Generator().manual_seed(5)).gradients["score"]
    assert torch.equal(seen["adapter"], seen["cond"]) and not torch.equal(seen["cond"], seen["uncond"])
    alpha_bar = guidance.denoiser.alpha_bar(seen["timestep"]).double()
    weight = timestep_weight("one-minus-alpha-bar", alpha_bar)[:, None, None, None]
    expected = weight * 6.5 * (seen["cond"].double() - seen["uncond"].double())
    torch.testing.assert_close((mean * 2).double(), expected, rtol=0.0, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("prediction", "steps", "share"),
    [pytest.param("epsilon", 200, 0.7, marks=pytest.mark.slow), ("v_prediction", 50, 0.95)],
)
def test_training_reduces_its_loss_and_leaves_the_frozen_network_as_it_was(tmp_path, prediction, steps, share) -> None:
    denoiser = Denoiser(tiny_stable_diffusion(tmp_path, prediction), CPU, torch.float32)
    text, latents, epsilon = noise(2, 4, denoiser.text_width), noise(2, 4, 8, 8, seed=2), noise(2, 4, 8, 8, seed=3)
    level = denoiser.level(TIMES)
    noisy = add_noise_at(latents, epsilon, level)
    before, weights = denoiser.predict(noisy, TIMES, text), {n: p.clone() for n, p in denoiser.unet.named_parameters()}
    module = denoiser.add_adapter(4)
    assert torch.equal(denoiser.predict_adapted(noisy, TIMES, text, POSE), before)
    optimizer, losses = torch.optim.AdamW(module.parameters(), lr=1e-2), []
    output = "epsilon" if prediction == "epsilon" else "v"
    for _ in range(steps):
        value = denoiser.predict_adapted(noisy, TIMES, text, POSE)
        loss = adapter_loss(output, value, latents, epsilon, level)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < share * losses[0]
    assert torch.equal(denoiser.predict(noisy, TIMES, text), before)
    now = {name.replace(".base_layer", ""): value for name, value in denoiser.unet.named_parameters()}
    assert all(torch.equal(now[name], value) for name, value in weights.items())
    assert not torch.equal(denoiser.predict_adapted(noisy, TIMES, text, POSE), before)


def test_the_module_holds_the_adapter_and_nothing_of_the_network(tiny_model) -> None:
    guidance, score = guidance_of(tiny_model), Distillation(VSD)
    score.attach(guidance)
    module = score.trainable()
    assert module is not None
    names = [name for name, _ in module.named_parameters()]
    assert {name.split(".")[-3] for name in names if "lora" in name} == {"lora_A", "lora_B"}
    ends = {name.partition(".lora_")[0].rpartition("attn")[2][2:] for name in names if "lora" in name}
    assert ends == {"to_q", "to_k", "to_v", "to_out.0"}
    assert [name for name in names if "lora" not in name] == [
        "camera.0.weight",
        "camera.0.bias",
        "camera.2.weight",
        "camera.2.bias",
    ]
    trained = {id(value) for value in module.parameters()}
    assert all(value.requires_grad == (id(value) in trained) for value in guidance.denoiser.unet.parameters())
    with pytest.raises(ConfigError, match="has an adapter already"):
        guidance.add_adapter(4)


def test_the_camera_is_added_to_the_timestep(tiny_model) -> None:
    denoiser = guidance_of(tiny_model).denoiser
    module = denoiser.add_adapter(4)
    noisy, text = noise(2, 4, 8, 8), noise(2, 4, denoiser.text_width)
    with torch.no_grad():
        module.get_parameter("camera.2.weight").normal_()
        told, other, none = (
            denoiser.predict_adapted(noisy, TIMES, text, pose) for pose in (POSE, POSE.flip(0), 0 * POSE)
        )
    assert not torch.allclose(told, other) and not torch.allclose(told, none)
    assert torch.equal(
        denoiser.predict(noisy, TIMES, text), guidance_of(tiny_model).denoiser.predict(noisy, TIMES, text)
    )


def test_half_precision_weights_have_a_float32_adapter_with_finite_gradients(tiny_model) -> None:
    guidance, score = guidance_of(tiny_model, "float16"), Distillation(replace(VSD, form="target"))
    score.attach(guidance)
    module = score.trainable()
    assert module is not None and all(value.dtype == torch.float32 for value in module.parameters())
    assert next(guidance.denoiser.unet.parameters()).dtype == torch.float16
    made = scored(score, guidance, rendered())
    assert made.fit is not None
    made.fit().backward()
    gradients = {name: value.grad for name, value in module.named_parameters()}
    assert all(
        grad is not None and grad.dtype == torch.float32 and grad.isfinite().all() for grad in gradients.values()
    )
    found = gradients["mid_block.attentions.0.transformer_blocks.0.attn1.to_v.lora_B.student.weight"]
    assert found.abs().max() > 0.0
    full, exact = guidance_of(tiny_model), Distillation(replace(VSD, form="target"))
    exact.attach(full)
    other = exact.trainable()
    assert other is not None
    for value, same in zip(other.parameters(), module.parameters(), strict=True):
        value.data = same.data.clone()
    again = scored(exact, full, rendered())
    assert again.fit is not None
    again.fit().backward()
    for name, value in other.named_parameters():
        torch.testing.assert_close(
            gradients[name], value.grad, rtol=0.1, atol=0.02 * float(value.grad.abs().max()) + 1e-7
        )


def test_it_stays_on_its_device_when_the_network_is_offloaded(tiny_model, monkeypatch) -> None:
    denoiser = guidance_of(tiny_model).denoiser
    denoiser.add_adapter(4)
    assert denoiser.adapter is not None
    moved = []
    monkeypatch.setattr(denoiser, "_rest", lambda: moved.append("offloaded"))
    monkeypatch.setattr(Adapter, "stay", lambda adapter: moved.append(adapter.device))
    denoiser.rest()
    assert moved == ["offloaded", CPU]


def test_a_bundled_priors_network_has_one_in_its_convolutions() -> None:
    settings = CameraSettings(
        sample_size=4, block_out_channels=(8, 16), norm_num_groups=4, things=3, grid_levels=2, grid_base_resolution=4,
        grid_finest_resolution=8, grid_log2_table_size=6, hidden_width=8, occupancy_cells=4, step_size=0.2,
    )  # fmt: skip
    network = CameraNetwork(settings).requires_grad_(False).eval()
    noisy, text = noise(2, 48, 4, 4), noise(2, 1, 128)
    before = network(noisy, TIMES, text).sample
    adapter = Adapter(network, 2, CPU)
    said = adapter.predict(lambda: network(noisy, TIMES, text).sample, POSE, half=False)
    assert torch.equal(said, before)
    said.square().mean().backward()
    gradients = [value.grad for name, value in adapter.module.named_parameters() if "lora_B" in name]
    assert len(gradients) > 10 and all(one is not None and one.abs().max() > 0.0 for one in gradients)
    with torch.no_grad():
        for value in adapter.module.parameters():
            value += 0.1
        assert not torch.equal(adapter.predict(lambda: network(noisy, TIMES, text).sample, POSE, half=False), before)
        with adapter.absent():
            assert torch.equal(network(noisy, TIMES, text).sample, before)
