"""Gradients of the shipped recipes on Gaussian images: the numbers of the recipe files, against closed forms.

The expected values are written with the numbers of the papers, not with those of the recipes, so that a wrong number in
a recipe fails. With data N(m, d^2) and `D = a^2 d^2 + s^2` the network is `s (x_t - a m) / D`, guidance with scale g is
the mean `m_u + g (m_c - m_u)`, and a step of DDIM from level 1 to level 2 multiplies the residual `x_t - a m` by
`(a1 a2 d^2 + s1 s2) / D1`: all expectations follow from these three, in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bozzetto.config.loading import load_recipe
from bozzetto.math.levels import Level, per_view, variance_preserving
from bozzetto.math.schedules import Schedule
from bozzetto.math.seeds import seed_at
from bozzetto.recipe import Task
from bozzetto.registry.discovery import Registry
from bozzetto.testing.guidance import image_gradient
from bozzetto.testing.score_prior import MEANS, GaussianParticles, GaussianViews, picture_of
from bozzetto_plugins.score.distillation import Distillation

Shipped = Callable[[str], Task]
RECIPES = Path(__file__).parents[3] / "configs"
DEVIATION, VIEWS, SEED = 0.2, 6, 3
PIXELS = (
    (0.5 + 0.1 * torch.randn(VIEWS, 3, 4, 4, generator=torch.Generator().manual_seed(1))).clamp(0.05, 0.95).double()
)
C, U, E = MEANS["cond"], MEANS["uncond"], MEANS["empty"]


class DoubleViews(GaussianViews):
    """The exact prior in double precision."""

    def level(self, timestep: Tensor) -> Level:
        return variance_preserving(self.alpha_bars[timestep])


@dataclass(frozen=True)
class At:
    """Level of each view at a timestep, and the network there."""

    timestep: Tensor

    @property
    def level(self) -> Level:
        return DoubleViews().level(self.timestep)

    @property
    def a(self) -> Tensor:
        return per_view(self.level.signal)

    @property
    def s(self) -> Tensor:
        return per_view(self.level.noise)

    @property
    def d(self) -> Tensor:
        """D, the variance of noisy pixels."""
        return self.a**2 * DEVIATION**2 + self.s**2

    def epsilon(self, noisy: Tensor, mean: float) -> Tensor:
        return self.s * (noisy - self.a * mean) / self.d

    def x0(self, noisy: Tensor, mean: float) -> Tensor:
        return mean + self.a * DEVIATION**2 * (noisy - self.a * mean) / self.d

    def to(self, after: At, noisy: Tensor, mean: float) -> Tensor:
        """Return where a step of DDIM leads."""
        factor = (self.a * after.a * DEVIATION**2 + self.s * after.s) / self.d
        moved = after.a * mean + (noisy - self.a * mean) * factor
        return torch.where(per_view(self.timestep == after.timestep), noisy, moved)


@dataclass
class Draws:
    """The random numbers of a step, drawn once more in the documented order."""

    generator: torch.Generator

    def window(self, low: int, high: int, shared: bool = False) -> At:
        drawn = torch.randint(low, high + 1, (1 if shared else VIEWS,), generator=self.generator)
        return At(drawn.repeat(VIEWS) if shared else drawn)

    def noise(self, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(PIXELS.shape, generator=self.generator, dtype=dtype).double()


def guided_mean(scale: float) -> float:
    return U + scale * (C - U)


def found(task: Task, step: int, prior: GaussianViews | None = None) -> tuple[Tensor, Tensor]:
    """Return the gradient of each view that the recipe's score gives, and its timesteps."""
    rendered, prior = picture_of(PIXELS), prior or DoubleViews(deviation=DEVIATION)
    guided = Distillation(task.score.config)(prior, rendered, step, torch.Generator().manual_seed(SEED))
    gradient = image_gradient(guided, rendered.image) * VIEWS
    return gradient.permute(0, 3, 1, 2), guided.timestep


def agree(task: Task, step: int, expected: Tensor, at: At, prior: GaussianViews | None = None) -> None:
    gradient, timestep = found(task, step, prior)
    assert torch.equal(timestep, at.timestep)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-6)


def sds(at: At, noise: Tensor, scale: float) -> Tensor:
    """Return `s a (x - m_g) / D - (a^2 d^2 / D) N`: SDS with weight 1."""
    return at.s * at.a * (PIXELS - guided_mean(scale)) / at.d - (at.a * DEVIATION) ** 2 / at.d * noise


def draws() -> Draws:
    return Draws(torch.Generator().manual_seed(SEED))


def test_sds(shipped: Shipped) -> None:
    drawn = draws()
    at = drawn.window(20, 980)
    agree(shipped("sds"), 7, at.s**2 * sds(at, drawn.noise(), 100.0), at)


def test_sds_is_the_method_of_the_guidance(registry: Registry, shipped: Shipped) -> None:
    parent = load_recipe(RECIPES / "dreamfusion-sd.yaml", registry, profile="cuda")
    assert parent.stages[0].tasks[0].guidance.config.as_score() == shipped("sds").score.config


def test_sjc(shipped: Shipped) -> None:
    drawn = draws()
    at = drawn.window(10, 970)
    agree(shipped("sjc"), 0, sds(at, drawn.noise(), 100.0), at)


@pytest.mark.parametrize(
    ("step", "high", "uncond", "empty"),
    [(0, 980, -1.0, 0.0), (2500, 740, -0.875, -0.125), (5000, 500, -0.75, -0.25), (10000, 500, -0.5, -0.5)],
)
def test_csd(shipped: Shipped, step: int, high: int, uncond: float, empty: float) -> None:
    """Constant in the image and free of noise: `s a / D` times the means, whose weights sum to 0."""
    at = draws().window(20, high)
    expected = -at.s * at.a / at.d * (C + uncond * U + empty * E)
    agree(shipped("csd"), step, expected.expand_as(PIXELS), at)


def test_nfsd(shipped: Shipped) -> None:
    drawn = draws()
    at = drawn.window(20, 980)
    clean = at.timestep < 200
    assert clean.any() and not clean.all(), "the seed has views on both sides of the switch"
    noisy = at.a * PIXELS + at.s * drawn.noise()
    domain = torch.where(per_view(clean), at.epsilon(noisy, E), at.s * at.a * (U - E) / at.d)
    agree(shipped("nfsd"), 0, at.s**2 * (7.5 * at.s * at.a * (E - C) / at.d + domain), at)


@pytest.mark.parametrize(("step", "high", "gap"), [(0, 980, 100), (750, 740, 90), (1500, 500, 80), (4000, 500, 80)])
def test_ism(shipped: Shipped, step: int, high: int, gap: int) -> None:
    """Inverted without the prompt in steps of 200, and compared with the prediction a gap before."""
    drawn, task = draws(), shipped("luciddreamer-ism")
    at = drawn.window(20, high, shared=True)
    start = max(int(at.timestep[0]) - gap, 0)
    times = [*range(0, start, 200), start, int(at.timestep[0])]
    path = [At(torch.full((VIEWS,), time)) for time in times]
    noisy = path[0].a * PIXELS + path[0].s * drawn.noise()
    for one, other in pairwise(path):
        reference, noisy = one.epsilon(noisy, E), one.to(other, noisy, E)
    agree(task, step, at.s / at.a * (at.epsilon(noisy, guided_mean(7.5)) - reference), at)
    assert [term.weight for term in task.terms if term.name == "score"] == [Schedule.constant(0.1)]


@pytest.mark.parametrize(("step", "timestep"), [(0, 980), (5000, 615), (10000, 250)])
def test_sdi(shipped: Shipped, step: int, timestep: int) -> None:
    """Inverted in steps of 100 guided away from the prompt, with fresh noise, up to a step beyond the timestep."""
    drawn = draws()
    gap = torch.randint(0, 100, (VIEWS,), generator=drawn.generator)
    last = (timestep + gap).clamp_max(999)
    path = [At(torch.full((VIEWS,), time)) for time in range(0, timestep, 100)] + [At(last)]
    noisy, away = PIXELS, guided_mean(-6.5)
    for one, other in pairwise(path):
        ratio = one.s * other.a / (one.a * other.s)
        variance = one.s**2 * (1.0 - ratio**2)
        noisy = one.to(other, noisy, away) + 0.3 * variance.sqrt() * drawn.noise(torch.float64)
    agree(shipped("sdi"), step, PIXELS - At(last).x0(noisy, guided_mean(8.5)), At(last))


@pytest.mark.parametrize(
    ("step", "fraction"),
    [(0, 0.98), (1000, 0.765), (2500, 0.64), (5000, 0.499), (7500, 0.391), (9000, 0.335), (10000, 0.3)],
)
def test_hifa(shipped: Shipped, step: int, fraction: float) -> None:
    """Four steps of DDIM to clean pixels; the term of images adds a tenth of their distance."""
    drawn, task = draws(), shipped("hifa")
    _, timestep = found(task, step)
    assert abs(int(timestep[0]) - 1000 * fraction) <= 1.0
    path = [At(timestep * left // 4) for left in (4, 3, 2, 1)]
    noisy, mean = path[0].a * PIXELS + path[0].s * drawn.noise(), guided_mean(100.0)
    for one, other in pairwise(path):
        noisy = one.to(other, noisy, mean)
    x0 = path[-1].x0(noisy, mean)
    agree(task, step, PIXELS - x0 + 0.1 * (PIXELS - x0.clamp(0.0, 1.0)), path[0])


@pytest.mark.parametrize(
    ("step", "timestep"), [(0, 999), (1000, 929), (2500, 834), (5000, 681), (7500, 528), (9000, 431), (9989, 222)]
)
def test_dreamtime(shipped: Shipped, step: int, timestep: int) -> None:
    at = At(torch.full((VIEWS,), timestep))
    agree(shipped("dreamtime"), step, at.s**2 * sds(at, draws().noise(), 100.0), at)


@pytest.mark.parametrize(("step", "timestep"), [(0, 980), (5000, 595), (10000, 210)])
def test_fsd(shipped: Shipped, step: int, timestep: int) -> None:
    """The views are 40 degrees apart at the horizon; a window of 4 cells spans 180 degrees, so the map is 8 by 8."""
    cells = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(seed_at(0, 0, 0))).double()
    noise = torch.stack([cells[:, 2:6].roll(-left, dims=2)[..., :4] for left in (0, 1, 2, 3, 4, 4)])
    at = At(torch.full((VIEWS,), timestep))
    agree(shipped("fsd"), step, at.s / at.a * sds(at, noise, 75.0), at)


def test_perp_neg(shipped: Shipped) -> None:
    """The exact prior's negatives differ from the others by a tilt, which is perpendicular to a constant."""
    drawn, task = draws(), shipped("perp-neg")
    at = drawn.window(20, 980)
    tilt = torch.linspace(-1.0, 1.0, PIXELS.shape[-1], dtype=torch.float64)
    agree(task, 0, at.s**2 * (sds(at, drawn.noise(), 100.0) - 1.5 * 100.0 * tilt), at)


@pytest.mark.parametrize(("step", "most"), [(0, 2.0), (500, 5.0), (1000, 8.0), (5000, 8.0)])
def test_debiased(shipped: Shipped, step: int, most: float) -> None:
    """SDS, each of whose values is clipped; the values of these views reach 13."""
    drawn, task = draws(), shipped("debiased")
    at = drawn.window(20, 980)
    whole = at.s**2 * sds(at, drawn.noise(), 100.0)
    assert (whole.abs() > most).any()
    agree(task, step, whole.clamp(-most, most), at)


class DoubleParticles(GaussianParticles):
    """The exact prior with an adapter that knows the views, as far as data of the prior's deviation can."""

    level = DoubleViews.level


def stages_of_prolificdreamer(registry: Registry) -> dict[str, Task]:
    recipe = load_recipe(RECIPES / "prolificdreamer.yaml", registry, ["prompt=a ball"], "cuda")
    return {stage.name: stage.tasks[0] for stage in recipe.stages}


@pytest.mark.parametrize("stage", ["coarse", "texture"])
@pytest.mark.parametrize(("step", "high"), [(0, 980), (2500, 740), (5000, 500), (20000, 500)])
def test_prolificdreamer(registry: Registry, stage: str, step: int, high: int) -> None:
    """The adapter's noise is `s (x_t - a x) / D`, so that the noise that was added falls out."""
    task = stages_of_prolificdreamer(registry)[stage]
    at = draws().window(20, high)
    prior = DoubleParticles(deviation=DEVIATION, particle_deviation=DEVIATION)
    expected = at.s**2 * at.s * at.a / at.d * (PIXELS - guided_mean(7.5))
    agree(task, step, expected, at, prior)


def test_the_adapter_of_prolificdreamer(registry: Registry) -> None:
    tasks = stages_of_prolificdreamer(registry)
    assert tasks["coarse"].score.config.reference == tasks["texture"].score.config.reference
    reference = tasks["coarse"].score.config.reference
    assert (reference.type, reference.rank, reference.camera_dropout, reference.steps) == ("adapter", 4, 0.1, 1)
    rates = [reference.learning_rate.at(step) for step in (0, 249, 499, 20000)]
    assert rates == pytest.approx([1e-4 / 500, 5e-5, 1e-4, 1e-4])
    assert (tuple(reference.betas), reference.weight_decay) == ((0.9, 0.99), 0.01)


def test_the_surface_of_prolificdreamer(registry: Registry) -> None:
    """SDS at the lower half of the noise levels; no adapter."""
    task, drawn = stages_of_prolificdreamer(registry)["geometry"], draws()
    at = drawn.window(20, 500)
    agree(task, 9000, at.s**2 * sds(at, drawn.noise(), 100.0), at)
