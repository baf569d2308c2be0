"""Contract tests of a score: subclass `ScoreContract`, define `make`, run with pytest."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.kinds.score import Score
from bozzetto.math.view_draws import share_generator
from bozzetto.testing.checks import assert_devices_are_taken_from_inputs, assert_metrics_are_scalars
from bozzetto.testing.fakes import cameras_around
from bozzetto.testing.guidance import image_gradient
from bozzetto.testing.score_prior import GaussianViews, picture_of
from bozzetto.types import Guided

__all__ = ["ScoreContract"]

STEP = 100
SIZE = 4
AZIMUTHS_DEG = (0.0, 40.0, 80.0, 120.0)


class ScoreContract:
    """Tests of `bozzetto.kinds.score.Score`, on an exact prior of Gaussian images. Each takes milliseconds.

    class TestMyScore(ScoreContract):
        def make(self) -> Score:
            return MyScore(MyScoreConfig())
    """

    losses: frozenset[str] = frozenset({"score"})
    """Loss names in the manifest's `provides`."""
    views_are_independent = True
    """Set to False if views affect one another by design, e.g. by a shared timestep."""
    draws = True
    """Set to False if the score draws no random number."""

    def make(self) -> Score:
        """Return a new instance."""
        raise AssertionError(f"{type(self).__name__} must define make()")

    def prior(self) -> GaussianViews:
        """Return the prior that the score is tested on."""
        return GaussianViews()

    def pixels(self) -> Float[Tensor, "B 3 H W"]:
        """Return two images of noise around different brightnesses."""
        noise = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
        return torch.tensor([0.3, 0.8])[:, None, None, None] + 0.1 * noise

    def guide(
        self, score: Score, seed: int = 0, generator: torch.Generator | None = None, views: slice = slice(2)
    ) -> tuple[Guided, Float[Tensor, "B H W 3"]]:
        """Return the result of the score, and its gradient with respect to the image."""
        rendered = picture_of(self.pixels()[views])
        generator = generator or torch.Generator().manual_seed(seed)
        guided = score(self._seen(views), rendered, STEP, generator)
        return guided, image_gradient(guided, rendered.image)

    def _seen(self, views: slice, views_per_group: int = 1) -> GaussianViews:
        """Return the prior of some of four views, each with a camera of its own."""
        prior, cameras = self.prior(), cameras_around(AZIMUTHS_DEG)
        prior.around = replace(cameras, c2w=cameras.c2w[views], fov_y_rad=cameras.fov_y_rad[views])
        prior.views_per_group = views_per_group
        return prior

    def test_gives_the_losses_it_declares(self) -> None:
        guided, _ = self.guide(self.make())
        assert set(guided.losses) | set(guided.gradients) == self.losses
        assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in guided.losses.values())
        assert tuple(guided.timestep.shape) == (2,)

    def test_a_finite_gradient_reaches_every_view(self) -> None:
        _, gradient = self.guide(self.make())
        assert gradient.isfinite().all() and gradient.dtype == torch.float32
        assert (gradient.flatten(1).norm(dim=1) > 0).all()

    def test_no_gradient_reaches_the_prior(self) -> None:
        prior, rendered = self.prior(), picture_of(self.pixels())
        guided = self.make()(prior, rendered, STEP, torch.Generator().manual_seed(0))
        image_gradient(guided, rendered.image)
        assert prior.weight.grad is None

    def test_every_random_number_comes_from_the_generator(self) -> None:
        score = self.make()
        _, first = self.guide(score, seed=1)
        torch.manual_seed(123)
        _, again = self.guide(score, seed=1)
        assert torch.equal(first, again)
        _, other = self.guide(score, seed=2)
        assert torch.equal(first, other) is not self.draws

    def test_a_resumed_score_goes_on_as_the_first_would(self) -> None:
        """A score that saves nothing must not remember anything."""
        first, resumed = self.make(), self.make()
        self.guide(first, seed=7)
        _, unbroken = self.guide(first, seed=8)
        _, gradient = self.guide(resumed, seed=8)
        assert torch.equal(gradient, unbroken)

    def test_a_view_alone_gets_what_it_gets_in_a_batch(self) -> None:
        """Also in a process that renders only some of the views: see `bozzetto.math.view_draws`."""
        if not self.views_are_independent:
            pytest.skip("by design")
        _, both = self.guide(self.make(), seed=5)
        for index in range(2):
            part = share_generator(torch.Generator().manual_seed(5), index, 2, seed=0)
            _, alone = self.guide(self.make(), generator=part, views=slice(index, index + 1))
            torch.testing.assert_close(2.0 * both[index], alone[0], rtol=1e-4, atol=1e-6)

    def test_a_group_alone_gets_what_it_gets_in_a_batch(self) -> None:
        """Two groups of two views, and each group in a process of its own."""
        score, pixels = self.make(), torch.cat([self.pixels(), 1.0 - self.pixels()])

        def gradient(views: slice, generator: torch.Generator) -> Float[Tensor, "B H W 3"]:
            prior, rendered = self._seen(views, 2), picture_of(pixels[views])
            return image_gradient(score(prior, rendered, STEP, generator), rendered.image)

        both = gradient(slice(4), torch.Generator().manual_seed(5))
        for index in range(2):
            part = share_generator(torch.Generator().manual_seed(5), index, 2, seed=0)
            group = slice(2 * index, 2 * index + 2)
            alone = gradient(group, part)
            torch.testing.assert_close(2.0 * both[group], alone, rtol=1e-4, atol=1e-6)

    def test_devices_are_taken_from_the_pictures(self) -> None:
        score, prior, rendered = self.make(), self.prior(), picture_of(self.pixels())
        generator = torch.Generator().manual_seed(0)

        def use() -> list[object]:
            guided = score(prior, rendered, STEP, generator)
            return [guided, image_gradient(guided, rendered.image)]

        assert_devices_are_taken_from_inputs(use)

    def test_the_prior_may_rest_before_the_backward_pass(self) -> None:
        prior, rendered = self.prior(), picture_of(self.pixels())
        self.make()(prior, rendered, STEP, torch.Generator().manual_seed(0))
        assert prior.rests

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
