"""Tests of `averaged`: the contract of scores, and less chance than SDS with the same mean."""

import torch
from bozzetto.testing.score import ScoreContract
from bozzetto.testing.score_prior import GaussianViews, picture_of

from bozzetto_averaged_score.averaged import Averaged
from bozzetto_averaged_score.config import AveragedConfig


class TestAveraged(ScoreContract):
    def make(self) -> Averaged:
        return Averaged(AveragedConfig(draws=2))


def test_the_average_of_many_noises_is_the_closed_form() -> None:
    prior, pixels = GaussianViews(), torch.full((1, 3, 16, 16), 0.5)
    config = AveragedConfig(draws=64, scale=1.0, min_step_fraction=0.4, max_step_fraction=0.4)
    rendered = picture_of(pixels)
    Averaged(config)(prior, rendered, 0, torch.Generator().manual_seed(0)).losses["score"].backward()
    timestep = torch.tensor([400])
    expected = prior.level(timestep).noise.square() * prior.pull(pixels, timestep, 1.0)
    torch.testing.assert_close(rendered.image.grad.mean(), expected.mean(), rtol=0.05, atol=0.0)
