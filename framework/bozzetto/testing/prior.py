"""Contract tests of a prior for scores: subclass `PriorContract`, define `make`, run with pytest.

The module needs no pytest, so that a program can run the tests on a model, too: `bozzetto prior check` does.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.kinds.guidance import TextEncoder
from bozzetto.kinds.score import Branch, Prior, PriorSource
from bozzetto.math.levels import per_view
from bozzetto.testing.fakes import cameras_around
from bozzetto.types import Cameras, Rendered, ViewCondition

__all__ = ["PriorContract"]

STEP = 0
TIMES = (0.3, 0.7)
"""Timesteps of the two views, as fractions of the training timesteps."""
CLOSE = 1e-3
"""Tolerance of comparisons, relative to the largest value: networks in half precision are less exact."""


class PriorContract:
    """Tests of `bozzetto.kinds.score.PriorSource` and of the `Prior` that it makes. No test trains anything.

    class TestMyPrior(PriorContract):
        def make(self) -> PriorSource:
            return MyGuidance(MyConfig(), folder, torch.device("cpu"))
    """

    close: float = CLOSE
    """Tolerance, relative to the largest value."""

    def make(self) -> PriorSource:
        """Return an instance; may be the same each time."""
        raise AssertionError(f"{type(self).__name__} must define make()")

    def condition(self, source: PriorSource) -> ViewCondition:
        """Return the condition of two views; override it for a source that is given no texts."""
        assert isinstance(source, TextEncoder), "override condition() of a source without encode_text"
        texts = source.encode_text(["a ball, front view", "a ball, side view", "", "a ball"])
        return ViewCondition(texts[:2], texts[2:3].expand(2, -1, -1), empty=texts[2:3].expand(2, -1, -1))

    def cameras(self) -> Cameras:
        """Return two cameras: front and side."""
        return cameras_around([0.0, 90.0], size=64)

    def rendered(self, cameras: Cameras) -> Rendered:
        """Return two smooth images that require grad."""
        ramp = torch.linspace(0.1, 0.9, cameras.width)
        picture = torch.stack([ramp.expand(cameras.height, -1), 1 - ramp.expand(cameras.height, -1).T])
        image = picture[..., None].expand(-1, -1, -1, 3).clone().requires_grad_()
        flat = torch.ones_like(image[..., :1]).detach()
        return Rendered(image, flat, flat, torch.zeros_like(image).detach())

    def each(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield name and function of each test, for programs."""
        names = [name for name in dir(type(self)) if name.startswith("test_")]
        return ((name, getattr(self, name)) for name in names)

    def _prior(self) -> Prior:
        source = self.make()
        return source.prior(self.condition(source), self.cameras(), STEP)

    def _noisy(self, prior: Prior) -> tuple[Float[Tensor, "2 C h w"], Tensor]:
        """Return noisy latents of both views, and their timesteps."""
        generator = torch.Generator().manual_seed(0)
        latents = prior.latents(self.rendered(self.cameras()), generator).detach()
        timestep = (torch.tensor(TIMES) * prior.train_steps).long().to(latents.device)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        level = prior.level(timestep)
        return per_view(level.signal) * latents + per_view(level.noise) * noise, timestep

    def _same(self, one: Tensor, other: Tensor) -> bool:
        scale = max(float(other.abs().max()), 1e-6)
        return one.shape == other.shape and float((one - other).abs().max()) <= self.close * scale

    def test_noise_increases_with_the_timestep_and_signal_decreases(self) -> None:
        prior = self._prior()
        level = prior.level(torch.arange(prior.train_steps))
        for values in (level.signal, level.noise):
            assert values.shape == (prior.train_steps,)
            assert values.isfinite().all() and (values >= 0).all()
        assert (level.noise.diff() >= 0).all(), "noise must not decrease"
        assert (level.signal.diff() <= 0).all(), "signal must not increase"

    def test_its_cameras_are_those_of_the_views(self) -> None:
        prior, given = self._prior(), self.cameras()
        assert torch.equal(prior.cameras.c2w, given.c2w), "a score may depend on the cameras"
        assert prior.views_per_group == given.views_per_group

    def test_it_predicts_the_branches_that_it_names(self) -> None:
        prior = self._prior()
        assert "cond" in prior.branches
        noisy, timestep = self._noisy(prior)
        branches: list[Branch] = [branch for branch in sorted(prior.branches) if branch != "negatives"]
        found = prior.predict(noisy, timestep, branches)
        assert set(found) == set(branches)
        for output in found.values():
            assert output.shape == noisy.shape and output.isfinite().all()

    def test_a_branch_that_it_lacks_is_an_error(self) -> None:
        prior = self._prior()
        noisy, timestep = self._noisy(prior)
        for branch in sorted(set(typing.get_args(Branch)) - prior.branches):
            try:
                prior.predict(noisy, timestep, [branch])
            except ConfigError:
                continue
            raise AssertionError(f"predict must raise ConfigError for {branch!r}, which is not in branches")

    def test_it_is_frozen_and_draws_nothing(self) -> None:
        prior = self._prior()
        noisy, timestep = self._noisy(prior)
        state = torch.get_rng_state()
        first = prior.predict(noisy.requires_grad_(), timestep, ["cond"])["cond"]
        again = prior.predict(noisy, timestep, ["cond"])["cond"]
        assert not first.requires_grad, "no gradient may pass through predict"
        assert torch.equal(first, again) and torch.equal(torch.get_rng_state(), state)

    def test_the_condition_matters(self) -> None:
        prior = self._prior()
        if "uncond" in prior.branches:
            found = prior.predict(*self._noisy(prior), ["cond", "uncond"])
            assert not torch.equal(found["cond"], found["uncond"])

    def test_branches_do_not_depend_on_each_other(self) -> None:
        prior = self._prior()
        if "uncond" in prior.branches:
            noisy, timestep = self._noisy(prior)
            both = prior.predict(noisy, timestep, ["uncond", "cond"])["cond"]
            assert self._same(prior.predict(noisy, timestep, ["cond"])["cond"], both)

    def test_noise_and_clean_latents_make_the_noisy_ones(self) -> None:
        """`x_t = a x0 + s eps`, with both as the prior converts its output."""
        prior = self._prior()
        noisy, timestep = self._noisy(prior)
        output = prior.predict(noisy, timestep, ["cond"])["cond"]
        level = prior.level(timestep)
        clean, noise = prior.x0(output, noisy, timestep), prior.epsilon(output, noisy, timestep)
        assert self._same(per_view(level.signal) * clean + per_view(level.noise) * noise, noisy)

    def test_conversions_are_affine_in_the_output(self) -> None:
        prior = self._prior()
        noisy, timestep = self._noisy(prior)
        one, other = (
            torch.ones_like(noisy),
            torch.randn(noisy.shape, generator=torch.Generator().manual_seed(1)).to(noisy),
        )
        for convert in (prior.epsilon, prior.x0):
            mean = (convert(one, noisy, timestep) + convert(other, noisy, timestep)) / 2
            assert self._same(convert((one + other) / 2, noisy, timestep), mean)

    def test_a_finite_gradient_reaches_every_view(self) -> None:
        prior = self._prior()
        rendered = self.rendered(self.cameras())
        prior.latents(rendered, torch.Generator().manual_seed(0)).square().sum().backward()
        gradient = rendered.image.grad
        assert gradient is not None and gradient.isfinite().all()
        assert (gradient.flatten(1).norm(dim=1) > 0).all()

    def test_the_encoder_s_random_numbers_come_from_the_generator(self) -> None:
        prior, rendered, state = self._prior(), self.rendered(self.cameras()), torch.get_rng_state()
        first, again = (prior.latents(rendered, torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(first, again) and torch.equal(torch.get_rng_state(), state)

    def test_decoded_latents_are_images_in_0_1_of_the_size_of_image(self) -> None:
        prior, rendered = self._prior(), self.rendered(self.cameras())
        image = prior.decode(prior.latents(rendered, torch.Generator().manual_seed(0)))
        assert image.shape == prior.image(rendered).shape and image.shape[:2] == (2, 3)
        assert not image.requires_grad and ((image >= 0) & (image <= 1)).all()
