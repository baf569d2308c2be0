"""Contract tests of a guidance: subclass `GuidanceContract`, define `make`, run with pytest."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.kinds.guidance import Guidance
from bozzetto.kinds.trainable import Trainable
from bozzetto.testing.checks import HALF, assert_devices_are_taken_from_inputs, assert_metrics_are_scalars
from bozzetto.testing.fakes import cameras_around
from bozzetto.types import Cameras, Guided, Rendered, ViewCondition

__all__ = ["GuidanceContract", "image_gradient"]

STEP = 100


class GuidanceContract:
    """Tests of `bozzetto.kinds.guidance.Guidance`. Each takes well under a second on tiny weights.

    class TestMyPrior(GuidanceContract):
        losses = frozenset({"my_loss"})

        def make(self) -> Guidance:
            return MyPrior(MyPriorConfig(), folder, torch.device("cpu"))
    """

    losses: frozenset[str] = frozenset({"sds"})
    """Loss names in the manifest's `provides`."""
    reads_text = True
    """Set to False if texts are embedded as zero tokens; then override `condition` and `conditions`."""

    @pytest.fixture(autouse=True)
    def _seed(self) -> None:
        torch.manual_seed(0)

    def make(self) -> Guidance:
        """Return a small new instance."""
        raise AssertionError(f"{type(self).__name__} must define make()")

    def cameras(self) -> Cameras:
        """Return two cameras: front and side."""
        return cameras_around([0.0, 90.0], size=16)

    def rendered(self, cameras: Cameras) -> Rendered:
        """Return two smooth images that require grad."""
        ramp = torch.linspace(0.1, 0.9, cameras.width)
        picture = torch.stack([ramp.expand(cameras.height, -1), 1 - ramp.expand(cameras.height, -1).T], dim=0)
        image = picture[..., None].expand(-1, -1, -1, 3).clone().requires_grad_()
        flat = torch.ones_like(image[..., :1]).detach()
        return Rendered(image, flat, flat, torch.zeros_like(image).detach())

    def condition(self, guidance: Guidance) -> ViewCondition:
        """Return a front and a side prompt."""
        texts = guidance.encode_text(["a ball, front view", "a ball, side view", ""])
        return ViewCondition(texts[:2], texts[2:].expand(2, -1, -1))

    def conditions(self, guidance: Guidance) -> tuple[ViewCondition, ViewCondition]:
        """Return the conditions of two different prompts."""
        texts = guidance.encode_text(["a ball", "an anvil", ""])
        uncond = texts[2:].expand(2, -1, -1)
        return ViewCondition(texts[0].expand(2, -1, -1), uncond), ViewCondition(texts[1].expand(2, -1, -1), uncond)

    def guide(self, guidance: Guidance, seed: int = 0) -> tuple[Guided, Float[Tensor, "B H W 3"]]:
        """Return the result of the guidance, and its gradient with respect to the image."""
        cameras = self.cameras()
        rendered = self.rendered(cameras)
        generator = torch.Generator(device=rendered.image.device).manual_seed(seed)
        guided = guidance(rendered, self.condition(guidance), cameras, STEP, generator)
        return guided, image_gradient(guided, rendered.image)

    def test_gives_the_losses_it_declares(self) -> None:
        guided, _ = self.guide(self.make())
        assert set(guided.losses) | set(guided.gradients) == self.losses
        assert all(loss.isfinite() for loss in guided.losses.values())
        assert tuple(guided.timestep.shape) == (2,)

    def test_a_finite_gradient_reaches_every_view(self) -> None:
        _, gradient = self.guide(self.make())
        assert gradient.isfinite().all()
        assert (gradient.flatten(1).norm(dim=1) > 0).all()

    def test_every_random_number_comes_from_the_generator(self) -> None:
        guidance = self.make()
        _, first = self.guide(guidance, seed=1)
        torch.manual_seed(123)
        _, again = self.guide(guidance, seed=1)
        _, other = self.guide(guidance, seed=2)
        torch.testing.assert_close(first, again, rtol=0.0, atol=0.0)
        assert not torch.equal(first, other)

    def test_the_condition_matters(self) -> None:
        guidance, cameras = self.make(), self.cameras()
        gradients = []
        for condition in self.conditions(guidance):
            rendered = self.rendered(cameras)
            generator = torch.Generator(device=rendered.image.device).manual_seed(0)
            guided = guidance(rendered, condition, cameras, STEP, generator)
            gradients.append(image_gradient(guided, rendered.image))
        first, second = gradients
        assert not torch.allclose(first, second)

    def test_a_resumed_guidance_goes_on_as_the_first_would(self) -> None:
        """A guidance saves nothing, so a new instance must return the same as the old one."""
        first, resumed = self.make(), self.make()
        self.guide(first, seed=7)
        _, unbroken = self.guide(first, seed=8)
        _, gradient = self.guide(resumed, seed=8)
        torch.testing.assert_close(gradient, unbroken, rtol=0.0, atol=0.0)

    def test_devices_are_taken_from_the_pictures(self) -> None:
        guidance, cameras = self.make(), self.cameras()
        rendered, condition = self.rendered(cameras), self.condition(guidance)
        generator = torch.Generator(device=rendered.image.device).manual_seed(0)

        def use() -> list[object]:
            guided = guidance(rendered, condition, cameras, STEP, generator)
            return [guided, image_gradient(guided, rendered.image)]

        assert_devices_are_taken_from_inputs(use)

    def test_half_precision_embeddings_are_taken(self) -> None:
        guidance, cameras = self.make(), self.cameras()
        rendered, full = self.rendered(cameras), self.condition(guidance)
        half = replace(full, text=full.text.to(HALF), uncond=full.uncond.to(HALF))
        generator = torch.Generator(device=rendered.image.device).manual_seed(0)
        guided = guidance(rendered, half, cameras, STEP, generator)
        assert image_gradient(guided, rendered.image).isfinite().all()

    def test_nothing_of_it_is_trained_that_it_does_not_declare(self) -> None:
        """See `bozzetto.kinds.trainable`."""
        guidance = self.make()
        module = guidance.trainable() if isinstance(guidance, Trainable) else None
        declared = set() if module is None else {id(parameter) for parameter in module.parameters()}
        parts = guidance.modules() if isinstance(guidance, torch.nn.Module) else ()
        own = [m for m in (*parts, *vars(guidance).values()) if isinstance(m, torch.nn.Module)]
        trained = [(name, p) for each in own for name, p in each.named_parameters() if p.requires_grad]
        assert not [name for name, parameter in trained if id(parameter) not in declared]

    def test_metrics_are_scalars(self) -> None:
        guided, _ = self.guide(self.make())
        assert_metrics_are_scalars(guided.metrics)

    def test_debug_pictures_are_images_in_0_1(self) -> None:
        guided, _ = self.guide(self.make())
        for picture in (guided.debug() if guided.debug else {}).values():
            assert picture.ndim == 4
            assert picture.shape[0] == 2
            assert picture.shape[-1] == 3
            assert ((picture >= 0) & (picture <= 1)).all()
            assert not picture.requires_grad

    def test_text_embeddings_are_deterministic_and_distinct(self) -> None:
        guidance = self.make()
        first = guidance.encode_text(["a ball", "a cube"])
        assert first.shape[0] == 2
        if not self.reads_text:
            assert first.shape[1] == 0
            return
        assert not torch.allclose(first[0], first[1])
        torch.testing.assert_close(guidance.encode_text(["a cube"])[0], first[1], rtol=1e-4, atol=1e-4)

    def test_the_text_model_is_identified_by_content(self) -> None:
        identity = self.make().text_model_id
        assert identity
        assert identity == self.make().text_model_id

    def test_unknown_words_are_words_of_the_text(self) -> None:
        for word in self.make().unknown_words("a zyxwv"):
            assert word in ("a", "zyxwv")


def image_gradient(guided: Guided, image: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
    """Back-propagate scalar losses and given gradients at once, as the system does, and return the image gradient."""
    roots = [*guided.losses.values(), *(tensor for tensor, _ in guided.gradients.values())]
    gradients = [*(None for _ in guided.losses), *(gradient for _, gradient in guided.gradients.values())]
    torch.autograd.backward(roots, gradients)
    assert image.grad is not None
    return image.grad
