"""Properties that every shipped score must have on networks of diffusers with random weights: all recipes, both outputs.

A recipe that is added later is tested as it is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from bozzetto.engine.build import make
from bozzetto.math.schedules import Schedule
from bozzetto.math.view_draws import share_generator
from bozzetto.recipe import Component, Task
from bozzetto.registry.discovery import Registry
from bozzetto.testing.fakes import cameras_around
from bozzetto.testing.guidance import image_gradient
from bozzetto.types import Cameras, Guided, Rendered, ViewCondition
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.stable_diffusion import StableDiffusion

RECIPES = Path(__file__).parents[3] / "configs"
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml") if "extends: sds" in path.read_text() or path.stem == "sds")
STEP, SIZE, VIEWS = 400, 32, 2
ONE = Schedule.constant(1.0)
Output = Literal["epsilon", "v_prediction"]
Folders = Callable[..., Path]

every_recipe = pytest.mark.parametrize("name", NAMES)
every_output = pytest.mark.parametrize("output", ["epsilon", "v_prediction"])


@cache
def guidance_of(folder: Path, dtype: str, encode: str) -> StableDiffusion:
    """Load a tiny model once: it keeps nothing from call to call."""
    return StableDiffusion(StableDiffusionConfig(model="tiny", dtype=dtype, encode=encode), folder, torch.device("cpu"))


class Tiny:
    """A recipe's score on a tiny model; a score that trains an adapter has one that has learned something.

    Args:
        changes: of the score's config.
    """

    def __init__(self, task: Task, registry: Registry, folder: Path, dtype: str, **changes: Any) -> None:
        config = task.score.config
        needs_adapter = getattr(config, "needs_adapter", False)
        load = guidance_of.__wrapped__ if needs_adapter else guidance_of  # an adapter stays in its network
        self.guidance = load(folder, dtype, task.guidance.config.encode)
        self.score = make(registry, Component(task.score.entry, replace(config, **changes), task.score.where))
        if needs_adapter:
            self.attach()
        self.texts = self.guidance.encode_text(["a ball, front", "a ball, side", "ugly", "", "a ball"])

    def attach(self) -> None:
        """Give the score an adapter whose matrices and camera are not zero, as if it had been trained."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.score.attach(self.guidance)
            for value in self.adapter:
                value.data.normal_(std=0.2)

    @property
    def adapter(self) -> list[Tensor]:
        """Parameters that the score trains."""
        module = getattr(self.score, "trainable", lambda: None)()
        return [] if module is None else list(module.parameters())

    @property
    def frozen(self) -> list[Tensor]:
        """Parameters of the networks without those of the adapter."""
        trained = {id(value) for value in self.adapter}
        networks = (self.guidance.denoiser.unet, self.guidance.denoiser.vae)
        return [value for network in networks for value in network.parameters() if id(value) not in trained]

    def condition(self, uncond: int = 2) -> ViewCondition:
        text = self.texts

        def both(index: int) -> Tensor:
            return text[index].expand(VIEWS, -1, -1)

        negatives, weights = text[[1, 0]].expand(VIEWS, -1, -1, -1), torch.tensor([[-1.0, -0.5], [0.0, -2.0]])
        return ViewCondition(text[:2], both(uncond), both(3), both(4), negatives, weights)

    def __call__(
        self, seed: int = 0, condition: ViewCondition | None = None, views: slice = slice(None),
        generator: torch.Generator | None = None,
    ) -> tuple[Guided, Tensor]:  # fmt: skip
        """Return what the score makes of views, and the gradient of their pixels."""
        pixels = torch.rand(VIEWS, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(7))[views].requires_grad_()
        flat = torch.ones_like(pixels[..., :1]).detach()
        cameras, said = cameras_around([0.0, 90.0], size=SIZE), condition or self.condition()
        cameras = Cameras(cameras.c2w[views], cameras.fov_y_rad[views], SIZE, SIZE)
        told = {item.name: getattr(said, item.name) for item in fields(said)}
        part = ViewCondition(**{k: v[views] if isinstance(v, Tensor) else v for k, v in told.items()})
        guided = self.score(
            self.guidance.prior(part, cameras, STEP), Rendered(pixels, flat, flat), STEP,
            generator or torch.Generator().manual_seed(seed),
        )  # fmt: skip
        return guided, image_gradient(guided, pixels)


@pytest.fixture
def tiny(registry: Registry, shipped: Callable[[str], Task], tiny_folder: Folders) -> Callable[..., Tiny]:
    """`tiny(name, output, **changes)`: return a recipe's score on a tiny model with that output."""

    def made(name: str, output: Output = "epsilon", dtype: str = "float32", **changes: Any) -> Tiny:
        return Tiny(shipped(name), registry, tiny_folder(prediction_type=output), dtype, **changes)

    return made


@every_output
@every_recipe
def test_equal_states_give_equal_bits_and_the_network_stays_as_it_is(
    tiny: Callable[..., Tiny], name: str, output: Output
) -> None:
    score = tiny(name, output)
    frozen = score.frozen
    before = [value.clone() for value in (*frozen, *score.adapter)]
    guided, first = score(seed=5)
    torch.manual_seed(99)
    again, second = score(seed=5)
    assert torch.equal(first, second) and torch.equal(guided.timestep, again.timestep)
    assert first.isfinite().all() and (first.flatten(1).norm(dim=1) > 0.0).all()
    assert all(value.grad is None and not value.requires_grad for value in frozen)
    assert all(value.grad is None for value in score.adapter), "the pull on the scene trains nothing"
    assert all(torch.equal(one, other) for one, other in zip(before, (*frozen, *score.adapter), strict=True))


@every_recipe
def test_a_batch_of_two_is_two_singles(tiny: Callable[..., Tiny], name: str) -> None:
    """With the random numbers of the batch, among them a timestep that views share (ISM), and those of an adapter."""
    score = tiny(name)
    made, both = score(seed=5)
    fits = []
    for index in range(VIEWS):
        part = share_generator(torch.Generator().manual_seed(5), index, VIEWS, seed=0)
        single, alone = score(views=slice(index, index + 1), generator=part)
        tolerance = 1e-4 * float(alone.abs().max())
        torch.testing.assert_close(VIEWS * both[index], alone[0], rtol=1e-3, atol=tolerance)
        fits += [single.fit()] if single.fit else []
    assert bool(fits) == (made.fit is not None) == getattr(score.score.config, "needs_adapter", False)
    if made.fit is not None:
        torch.testing.assert_close(made.fit(), torch.stack(fits).mean(), rtol=1e-3, atol=0.0)


def test_a_trained_adapter_is_felt_by_the_gradient(tiny: Callable[..., Tiny]) -> None:
    """So that the test above is of the adapter's prediction, and of the cameras that it is told."""
    score = tiny("prolificdreamer")
    _, first = score(seed=5)
    with torch.no_grad():
        for name, value in score.score.trainable().named_parameters():
            if name.startswith("camera."):
                value.zero_()
    _, blind = score(seed=5)
    assert not torch.allclose(first, blind, rtol=1e-2, atol=1e-2 * float(first.abs().max()))


@every_recipe
def test_half_precision_weights_give_a_finite_gradient_in_single(tiny: Callable[..., Tiny], name: str) -> None:
    score = tiny(name, dtype="float16")
    assert score.guidance.denoiser.unet.dtype == torch.float16
    guided, gradient = score()
    assert gradient.dtype == torch.float32 and gradient.isfinite().all() and gradient.any()
    assert all(value.dtype == torch.float32 for value in score.adapter)
    assert all(loss.dtype == torch.float32 for loss in guided.losses.values())


@every_recipe
def test_the_forms_target_and_backward_agree(
    tiny: Callable[..., Tiny], shipped: Callable[[str], Task], name: str
) -> None:
    config = shipped(name).score.config
    changes = {"image_term": Schedule.constant(0.0)} if hasattr(config, "image_term") else {}
    if not hasattr(config, "form"):
        pytest.skip("has one form only")
    _, target = tiny(name, form="target", **changes)(seed=2)
    _, backward = tiny(name, form="backward", **changes)(seed=2)
    torch.testing.assert_close(target, backward, rtol=1e-3, atol=1e-4 * float(target.abs().max()))


@every_recipe
def test_a_scale_of_1_is_conditional(
    tiny: Callable[..., Tiny], shipped: Callable[[str], Task], name: str
) -> None:  # fmt: skip
    """Then the negative prompt means nothing; nor do negative prompts of views that weigh nothing."""
    config = shipped(name).score.config
    guider, noise = getattr(config, "guider", None), getattr(config, "noise", None)
    if getattr(guider, "type", None) not in ("cfg", "perp-neg"):
        pytest.skip("its scale is no guidance scale: closed forms prove it")
    inverted = {"noise": replace(noise, scale=1.0)} if noise.type == "inverted" else {}
    score = tiny(name, guider=replace(guider, scale=ONE), **inverted)
    said = [replace(score.condition(uncond), negative_weights=torch.zeros(VIEWS, 2)) for uncond in (2, 0)]
    (_, one), (_, other) = (score(condition=each) for each in said)
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(one.abs().max()))
    _, guided = tiny(name)(condition=said[1])
    assert not torch.allclose(guided, other, rtol=1e-2, atol=1e-3 * float(other.abs().max()))
