"""Tests of consistent noise in the composed score: of which it is a function, and of which not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bozzetto.config.binding import bind
from bozzetto.math.levels import per_view
from bozzetto.testing.fakes import cameras_around
from bozzetto.testing.score_prior import GaussianViews, picture_of
from bozzetto.types import Cameras, Rendered, ViewCondition
from bozzetto_plugins.score.axes import NoiseConfig
from bozzetto_plugins.score.config import DistillationConfig
from bozzetto_plugins.score.consistent_noise import ConsistentNoise
from bozzetto_plugins.score.distillation import Distillation

SIZE = 16
LIKE = torch.zeros(2, 3, SIZE, SIZE)
CAMERAS = cameras_around([0.0, 100.0], [0.0, 30.0])


def config(**values: object) -> NoiseConfig:
    return bind(NoiseConfig, {"type": "consistent", "background_opacity": 0.0, **values}, "noise")


def opaque(like: Tensor = LIKE) -> Rendered:
    return picture_of(like)


def noise(cameras: Cameras = CAMERAS, step: int = 0, run_seed: int = 0, channels: int = 3, **values: object) -> Tensor:
    like = torch.zeros(len(cameras), channels, SIZE, SIZE)
    return ConsistentNoise(run_seed)(config(**values), cameras, opaque(like[:, :3]), like, step)


def test_it_depends_on_the_angles_alone() -> None:
    """Not on the distance, the field of view, the size of the image, or the other views."""
    far = cameras_around([0.0, 100.0], [0.0, 30.0], size=64, distance=9.0)
    wide = replace(far, fov_y_rad=torch.tensor([0.3, 1.2]))
    assert torch.equal(noise(), noise(wide))
    for index in range(2):
        one = Cameras(CAMERAS.c2w[index : index + 1], CAMERAS.fov_y_rad[index : index + 1], 8, 8)
        assert torch.equal(noise(one)[0], noise()[index])
    assert not torch.equal(noise()[0], noise()[1])


def test_seeds_of_the_run_and_of_the_noise_give_other_noise() -> None:
    made = [noise(run_seed=run, seed=seed) for run in range(3) for seed in range(3)]
    found = torch.corrcoef(torch.stack([each.flatten() for each in made]))
    assert float((found - torch.eye(9)).abs().max()) < 0.15


def test_it_has_unit_variance_at_every_step() -> None:
    for step in (0, 7, 25, 49):
        made = noise(step=step, channels=64, refresh_steps=25)
        assert abs(float(made.mean())) < 0.02 and abs(float(made.std()) - 1.0) < 0.02


def test_a_resumed_run_has_the_same_noise_and_keeps_few_maps() -> None:
    """A score that begins at a step knows nothing of those before."""
    lasting = ConsistentNoise(5)
    for step in range(60):
        made = lasting(config(refresh_steps=7, background_opacity=0.5), CAMERAS, opaque(), LIKE, step)
        resumed = ConsistentNoise(5)(config(refresh_steps=7, background_opacity=0.5), CAMERAS, opaque(), LIKE, step)
        assert torch.equal(made, resumed)
    assert len(lasting._kept) == 4


def test_maps_are_drawn_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    randn = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *args, **told: drawn.append(args) or randn(*args, **told))
    source = ConsistentNoise()
    for step in range(20):
        source(config(refresh_steps=10, background_opacity=0.5), CAMERAS, opaque(), LIKE, step)
    assert len(drawn) == 6, "epochs 0, 1 and 2, of the world and of the background"


def test_the_noise_behind_the_object_does_not_move() -> None:
    """It stays at its pixels where the mean opacity of a latent's pixels is low."""
    opacity = torch.zeros(2, 4 * SIZE, 4 * SIZE, 1)
    opacity[:, : 2 * SIZE] = 1.0
    opacity[:, 2 * SIZE : 2 * SIZE + 3] = 1.0  # three quarters of a row of latents
    rendered = Rendered(opacity.expand(-1, -1, -1, 3), opacity, opacity)
    made = ConsistentNoise()(config(background_opacity=0.5), CAMERAS, rendered, LIKE, 0)
    half = SIZE // 2 + 1
    assert torch.equal(made[:, :, :half], noise()[:, :, :half])
    assert torch.equal(made[0, :, half:], made[1, :, half:])
    assert not (made[:, :, half:] == noise()[:, :, half:]).any()


def run(generator: torch.Generator, run_seed: int = 0, step: int = 0, **values: object) -> tuple[Tensor, Tensor]:
    """Return the gradient of each view on the exact prior, and the timesteps."""
    told = {"form": "backward", "noise": {"type": "consistent", "background_opacity": 0.0}, **values}
    score = Distillation(bind(DistillationConfig, told, "score"))
    prior = GaussianViews(around=CAMERAS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run_seed)
        score.attach(Guiding(prior))
    guided = score(prior, picture_of(LIKE + 0.5), step, generator)
    return 2.0 * guided.gradients["score"][1], guided.timestep


class Guiding:
    """Guidance with one prior."""

    def __init__(self, views: GaussianViews) -> None:
        self.views = views

    def prior(self, condition: ViewCondition, cameras: Cameras, step: int) -> GaussianViews:
        return self.views


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_gradient_is_that_of_sds_with_this_noise() -> None:
    """`s a (x - m_g) / D - (a^2 d^2 / D) N`, with weight s / a."""
    found, timestep = run(
        seeded(), timesteps={"type": "point", "at": 0.4}, guider={"scale": 3}, weighting="sigma-over-alpha"
    )  # fmt: skip
    prior = GaussianViews()
    level, pixels = prior.level(timestep), LIKE + 0.5
    factor = per_view(level.signal.square() * prior.deviation**2) / prior.exact.variance(level)
    expected = per_view(level.sigma) * (prior.pull(pixels, timestep, 3.0) - factor * noise())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_nothing_is_drawn_for_it_and_the_timesteps_are_those_without_noise() -> None:
    generator, alone = seeded(), seeded()
    _, timestep = run(generator)
    _, random = run(seeded(), noise="random")
    assert torch.equal(timestep, random)
    torch.randint(20, 981, (2,), generator=alone)
    assert torch.equal(generator.get_state(), alone.get_state())


def test_the_seed_of_the_run_decides_and_the_generator_does_not() -> None:
    values = {"timesteps": {"type": "point", "at": 0.4}, "guider": {"scale": 1}}
    (first, _), (again, _), (other, _) = (
        run(seeded(state), seed, **values) for state, seed in ((0, 3), (1, 3), (0, 4))
    )
    assert torch.equal(first, again) and float((first - other).std() / first.std()) > 1.0


def test_refreshed_each_step_it_is_as_random_as_sds() -> None:
    """The mean and the deviation of the gradient over steps are those of SDS at the same timestep."""
    values = {"timesteps": {"type": "point", "at": 0.4}, "weighting": "uniform", "guider": {"scale": 3}}
    generator, steps = seeded(), 40
    fast = {"type": "consistent", "refresh_steps": 1, "background_opacity": 0.0}
    found, random = (
        torch.stack([run(generator, step=step, noise=kind, **values)[0] for step in range(steps)])
        for kind in (fast, "random")
    )
    assert abs(float(found.std() / random.std()) - 1.0) < 0.02
    assert abs(float((found.mean() - random.mean()) / random.std())) < 4.0 / math.sqrt(found.numel())
    after = torch.corrcoef(torch.stack([(found - found.mean())[:-1].flatten(), (found - found.mean())[1:].flatten()]))
    assert abs(float(after[0, 1])) < 0.02


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": "random", "seed": 1}, "seed: is of type consistent only, and this is 'random'. Remove it"),
        ({"type": "inverted", "refresh_steps": 5}, "refresh_steps: is of type consistent only"),
        ({"type": "consistent", "eta": 0.5}, "eta: is of type inverted only, and this is 'consistent'"),
        ({"type": "consistent", "window_deg": float("nan")}, "window_deg"),
    ],
)
def test_fields_of_another_type_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(Exception, match=message):
        bind(NoiseConfig, values, "noise")


def test_an_interval_needs_an_inversion() -> None:
    with pytest.raises(Exception, match="'interval' is a prediction of the inversion"):
        bind(DistillationConfig, {"noise": "consistent", "reference": "interval"}, "score")
