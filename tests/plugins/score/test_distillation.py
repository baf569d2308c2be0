"""Closed forms of composed scores on Gaussian images, and equality of the defaults with SDS."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bozzetto.config.binding import bind
from bozzetto.errors import ConfigError
from bozzetto.math.guidance import cfg
from bozzetto.math.levels import add_noise_at, per_view
from bozzetto.math.score import add_noise, sds_gradient, sds_loss
from bozzetto.math.timesteps import sample_timesteps, step_range, timestep_weight
from bozzetto.testing.score_prior import GaussianViews, picture_of
from bozzetto.types import Guided
from bozzetto_plugins.guidance.config import Zero123Config
from bozzetto_plugins.score.config import DistillationConfig
from bozzetto_plugins.score.distillation import Distillation

PIXELS = 0.5 + 0.2 * torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
POINT = {"type": "point", "at": 0.4}


def run(prior: GaussianViews, pixels: Tensor = PIXELS, step: int = 0, seed: int = 0, **values: object) -> Guided:
    score = Distillation(bind(DistillationConfig, {"form": "backward", **values}, "score"))
    return score(prior, picture_of(pixels), step, torch.Generator().manual_seed(seed))


def gradient(guided: Guided) -> Tensor:
    """Return the gradient of each view."""
    tensor, mean = guided.gradients["score"]
    return mean * len(tensor)


@pytest.mark.parametrize("output", ["epsilon", "v"])
def test_the_defaults_are_sds_bit_for_bit(output: str) -> None:
    """The equations as they stand in DreamFusion, in their order of random draws."""
    prior, generator = GaussianViews(output=output), torch.Generator().manual_seed(5)
    rendered = picture_of(PIXELS)
    made = Distillation(DistillationConfig())(prior, rendered, 0, torch.Generator().manual_seed(5))
    latents = rendered.image.permute(0, 3, 1, 2)
    timestep = sample_timesteps(2, *step_range(0.02, 0.98, 1000), generator)
    noise = torch.randn(latents.shape, generator=generator)
    alpha_bar = prior.alpha_bars[timestep].float()
    noisy = add_noise(latents.detach(), noise, alpha_bar)
    outputs = prior.predict(noisy, timestep, ["cond", "uncond"])
    guided = prior.epsilon(cfg(outputs["cond"], outputs["uncond"], 100.0), noisy, timestep)
    expected = sds_gradient(guided, noise, timestep_weight("one-minus-alpha-bar", alpha_bar))
    assert torch.equal(made.timestep, timestep)
    assert torch.equal(made.losses["score"], sds_loss(latents, expected))


def test_sds_is_zero_on_average_at_the_guided_mean() -> None:
    prior = GaussianViews()
    at_mean = torch.full((2, 3, 64, 64), prior.guided_mean(3.0))
    found = gradient(run(prior, at_mean, guider={"scale": 3}, timesteps=POINT, weighting="uniform"))
    assert found.mean().abs() < 0.02
    away = gradient(run(prior, at_mean + 1.0, guider={"scale": 3}, timesteps=POINT, weighting="uniform"))
    expected = prior.pull(at_mean + 1.0, torch.tensor([400, 400]), 3.0)
    torch.testing.assert_close(away.mean(), expected.mean(), rtol=0.02, atol=0.0)


def test_csd_is_the_same_everywhere() -> None:
    prior = GaussianViews()
    values = {"guider": "mix", "reference": "none", "weighting": "uniform", "timesteps": POINT}
    one, other = gradient(run(prior, **values)), gradient(run(prior, PIXELS + 3.0, seed=1, **values))
    torch.testing.assert_close(one, other, rtol=0.0, atol=1e-5)
    level = prior.level(torch.tensor([400, 400]))
    factor = per_view(level.noise * level.signal) / prior.exact.variance(level)
    expected = factor * (prior.means["uncond"] - prior.means["cond"])
    torch.testing.assert_close(one, expected.expand_as(one), rtol=1e-4, atol=1e-6)


def test_a_mix_of_g_and_1_minus_g_is_sds() -> None:
    prior = GaussianViews()
    mixed = gradient(run(prior, guider={"type": "mix", "cond": 7.5, "uncond": -6.5}))
    assert torch.equal(mixed, gradient(run(prior, guider={"scale": 7.5})))


def test_nfsd_switches_per_view() -> None:
    prior = GaussianViews()
    values = {"guider": {"type": "nfsd", "scale": 7.5}, "reference": "none", "weighting": "uniform"}
    for at, corrected in ((0.1, True), (0.4, False)):
        found = gradient(run(prior, timesteps={"type": "point", "at": at}, **values))
        level = prior.level(torch.tensor([round(at * 1000)] * 2))
        factor = per_view(level.noise * level.signal) / prior.exact.variance(level)
        pure = 7.5 * factor * (prior.means["empty"] - prior.means["cond"])
        rest = factor * (prior.means["uncond"] - prior.means["empty"])
        assert torch.allclose(found, (pure + rest).expand_as(found), atol=1e-4) is not corrected


def test_ism_of_one_step_has_a_closed_form() -> None:
    """One DDIM step from s to t: with z = (x_s - a_s m_u) / sqrt(D_s) and a scale g."""
    prior = GaussianViews(deviation=0.3)
    found = run(
        prior, timesteps=POINT, noise={"type": "inverted", "base": "uncond", "spacing": 1.0}, weighting="uniform",
        guider={"scale": 7.5}, reference={"type": "interval", "gap": 0.4},
    )  # fmt: skip
    noise = torch.randn(PIXELS.shape, generator=torch.Generator().manual_seed(0))
    start, end = prior.level(torch.tensor([0, 0])), prior.level(torch.tensor([400, 400]))
    noisy = per_view(start.signal) * PIXELS + per_view(start.noise) * noise
    reference = prior.exact.epsilon(noisy, start, "uncond")
    clean = (noisy - per_view(start.noise) * reference) / per_view(start.signal)
    inverted = per_view(end.signal) * clean + per_view(end.noise) * reference
    expected = prior.exact.epsilon_of_mean(inverted, end, prior.guided_mean(7.5)) - reference
    torch.testing.assert_close(gradient(found), expected, rtol=1e-3, atol=1e-4)


def test_sigma_over_alpha_is_the_distance_to_the_denoised_image() -> None:
    prior = GaussianViews()
    guided = run(prior, timesteps=POINT, weighting="sigma-over-alpha", guider={"scale": 1}, debug_steps=0)
    denoised = guided.debug()["denoised-one-step"].permute(0, 3, 1, 2)
    inside = (denoised > 0.0) & (denoised < 1.0)
    torch.testing.assert_close(gradient(guided)[inside], (PIXELS - denoised)[inside], rtol=1e-3, atol=1e-3)


def test_pfd_with_the_scale_of_its_inversion_vanishes_as_steps_get_fine() -> None:
    prior = GaussianViews(deviation=0.5)
    values = {"timesteps": POINT, "weighting": "sigma-over-alpha", "guider": {"scale": 1}}
    sizes = []
    for steps in (4, 40):
        noise = {"type": "inverted", "scale": 1, "spacing": 0.4 / steps}
        sizes.append(gradient(run(prior, noise=noise, target_steps=steps, **values)).abs().mean())
    assert sizes[1] < 0.3 * sizes[0]


@pytest.mark.parametrize("output", ["epsilon", "v"])
def test_the_own_prediction_is_the_noise_of_an_inversion_in_one_step(output: str) -> None:
    """Of a Gaussian: N' = s (x_t - a m_c) / D, and the gradient is that of exact predictions at a x + s N'."""
    prior = GaussianViews(output=output)
    found = gradient(
        run(prior, noise="own-prediction", timesteps={"type": "point", "at": 0.4}, weighting="uniform", seed=3)
    )
    timestep = torch.tensor([400, 400])
    level = prior.level(timestep)
    unit = torch.randn(PIXELS.shape, generator=torch.Generator().manual_seed(3))
    own = prior.exact.predict("epsilon", add_noise_at(PIXELS, unit, level), level, "cond")
    noisy = add_noise_at(PIXELS, own, level)
    branches = [prior.exact.predict("epsilon", noisy, level, branch) for branch in ("cond", "uncond")]
    torch.testing.assert_close(found, cfg(*branches, 100.0) - own, rtol=1e-4, atol=1e-4)


def test_three_way_guidance_is_affine_in_three_means() -> None:
    """Constant factor s a / D of each mean: the mean guided thus is u + 1.5 (i - u) + 7.5 (c - i)."""
    prior = GaussianViews()
    three = {"type": "three-way", "scale": 7.5, "image_scale": 1.5}
    point = {"type": "point", "at": 0.4}
    found = gradient(run(prior, guider=three, timesteps=point, weighting="uniform"))
    means = {**prior.means, "cond": 0.3 + 1.5 * (0.45 - 0.3) + 7.5 * (0.6 - 0.45)}
    plain = gradient(run(GaussianViews(means), guider={"scale": 1}, timesteps=point, weighting="uniform"))
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)
    assert prior.predictions == 3


def test_an_inversion_that_overshoots_stops_where_there_is_still_signal() -> None:
    prior = GaussianViews(output="v")
    prior.alpha_bars[-1] = 0.0  # as of models with zero terminal signal-to-noise ratio
    noise = {"type": "inverted", "spacing": 0.1, "overshoot": True}
    found = [
        run(prior, seed=seed, noise=noise, timesteps={"type": "point", "at": 0.98}, weighting="sigma-over-alpha")
        for seed in range(6)
    ]
    assert max(int(guided.timestep.max()) for guided in found) == prior.train_steps - 2
    assert all(gradient(guided).isfinite().all() for guided in found)


def test_the_image_term_adds_the_distance_of_images() -> None:
    values = {"timesteps": POINT, "weighting": "sigma-over-alpha", "guider": {"scale": 1}, "form": "target"}
    plain, more = (run(GaussianViews(), image_term=factor, **values).losses["score"] for factor in (0.0, 0.5))
    assert more > plain


def test_what_draws_nothing_consumes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    values = {"timesteps": POINT, "noise": {"type": "inverted", "spacing": 0.1}}
    score = Distillation(bind(DistillationConfig, values, "score"))
    score(GaussianViews(), picture_of(PIXELS), 0, generator)
    assert torch.equal(before, generator.get_state())


@pytest.mark.parametrize(
    ("density", "expected"),
    [("plateau", [999, 929, 834, 681, 528, 431, 222]), ("noise-to-signal", [999, 721, 642, 556, 470, 394, 176])],
)
def test_dreamtimes_timesteps_are_those_of_its_densities(density: str, expected: list[int]) -> None:
    values = {"timesteps": {"type": "dreamtime", "density": density}, "guider": {"scale": 1}}
    steps = (0, 999, 2499, 4999, 7499, 8999, 9989)
    assert [int(run(GaussianViews(), step=step, **values).timestep[0]) for step in steps] == expected


def test_timesteps_are_drawn_before_noise_whatever_the_type_of_noise() -> None:
    window = {"shared": True}
    first = run(GaussianViews(), timesteps=window, seed=3)
    second = run(GaussianViews(), timesteps=window, noise={"type": "inverted", "eta": 0.5}, seed=3)
    assert torch.equal(first.timestep, second.timestep) and first.timestep[0] == first.timestep[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"guider": "mix"}, "score.reference: must be none with guider 'mix'"),
        ({"reference": "none"}, "score.reference: must not be none with guider 'cfg'"),
        ({"reference": "interval"}, "score.reference: 'interval' is a prediction of the inversion; set noise to inverted"),
        ({"guider": {"type": "nfsd", "rescale": 0.5}}, "score.guider.rescale: is of type cfg and perp-neg only"),
        ({"guider": "nfsd", "reference": "none", "target_steps": 2}, "score.target_steps: needs denoised latents"),
        ({"guider": "nfsd", "reference": "none", "image_term": 1}, "score.image_term: needs denoised latents"),
        ({"image_term": 1, "form": "backward"}, "score.image_term: is a loss of its own"),
        ({"noise": {"type": "inverted", "eta": 0.3}}, "score.noise: eta draws noise in every step"),
        ({"noise": {"eta": 0.3}}, "score.noise.eta: is of type inverted only, and this is 'random'. Remove it"),
        ({"timesteps": {"min": 0.9, "max": 0.1}}, "score.timesteps.min: must not exceed max, got 0.9 and 0.1 at step 0"),
        ({"timesteps": {"plateau": [0.9, 0.1], "type": "dreamtime"}}, "score.timesteps.plateau: the lower bound comes first"),
        ({"timesteps": {"density": "noise-to-signal", "type": "dreamtime", "tails": [0.2, 0.2]}},
         "score.timesteps.tails: is of another density than 'noise-to-signal'. Remove it"),
        ({"timesteps": {"width": 0.2, "type": "dreamtime"}}, "score.timesteps.width: is of another density"),
        ({"timesteps": {"density": "noise-to-signal"}}, "score.timesteps.density: is of type dreamtime only"),
        ({"guider": "cgf"}, "score.guider.type: 'cgf' is not one of cfg, perp-neg, mix, nfsd, three-way. Did you mean 'cfg'?"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bind(DistillationConfig, values, "score")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("values", "branches"),
    [
        ({}, "cond uncond"),
        ({"guider": {"scale": 1}}, "cond"),
        ({"guider": "perp-neg"}, "cond uncond negatives"),
        ({"guider": "nfsd", "reference": "none"}, "cond uncond empty"),
        ({"guider": {"scale": 1}, "noise": "inverted"}, "cond empty"),
        ({"guider": {"scale": 1}, "noise": {"type": "inverted", "scale": 2, "base": "uncond"}}, "cond uncond"),
    ],
)  # fmt: skip
def test_it_is_known_before_a_run_which_branches_are_read(values: dict[str, object], branches: str) -> None:
    config = bind(DistillationConfig, values, "score")
    assert config.branches == set(branches.split())
    assert (config.branches <= Zero123Config.prior_branches) is not bool({"empty", "negatives"} & config.branches)


FOUR = torch.cat([PIXELS, 0.7 - 0.5 * PIXELS])
MVDREAM = {"weighting": "sigma-over-alpha", "timesteps": {"shared": "group"}}


class TiltedViews(GaussianViews):
    """Prior whose unconditional predictions differ in contrast from view to view, so that rescaling has an effect."""

    def _output(self, branch: str, noisy: Tensor, timestep: Tensor) -> Tensor:
        output = super()._output(branch, noisy, timestep)
        contrast = torch.linspace(0.1, 0.4, len(noisy))
        tilt = per_view(contrast) * torch.linspace(-1.0, 1.0, noisy.shape[-1])
        return output + tilt if branch == "uncond" else output


def grouped(rescale: float, over: str = "group") -> dict[str, object]:
    return {**MVDREAM, "guider": {"scale": 50, "rescale": rescale, "rescale_space": "x0", "rescale_over": over}}


def test_rescaling_over_a_group_is_mvdreams_formula() -> None:
    """x0 = .5 x0_cfg std(x0_cond) / std(x0_cfg) + .5 x0_cfg, each std over all values of two views."""
    prior = TiltedViews(views_per_group=2)
    made = run(prior, FOUR, **grouped(0.5))
    generator = torch.Generator().manual_seed(0)
    timestep = sample_timesteps(2, 20, 980, generator).repeat_interleave(2)
    assert torch.equal(made.timestep, timestep)
    noise, level = torch.randn(FOUR.shape, generator=generator), prior.level(timestep)
    noisy = per_view(level.signal) * FOUR + per_view(level.noise) * noise
    outputs = prior.predict(noisy, timestep, ["cond", "uncond"])
    cond = prior.x0(outputs["cond"], noisy, timestep).detach()
    guided = prior.x0(cfg(outputs["cond"], outputs["uncond"], 50.0), noisy, timestep).detach()
    for over, views in (("group", 2), ("view", 1)):
        groups = zip(guided.split(views), cond.split(views), strict=True)
        x0 = torch.cat([0.5 * one * (of.std() / one.std()) + 0.5 * one for one, of in groups])
        found = gradient(run(prior, FOUR, **grouped(0.5, over)))
        torch.testing.assert_close(found, FOUR - x0, rtol=1e-3, atol=1e-3)
    assert (found - gradient(made)).abs().max() > 0.01, "the two differ here"


def test_a_group_without_rescaling_is_s_over_a_times_the_difference_of_noises() -> None:
    prior = GaussianViews(views_per_group=2)
    made = run(prior, FOUR, **{**grouped(0.0, "view")})
    level, generator = prior.level(made.timestep), torch.Generator().manual_seed(0)
    sample_timesteps(2, 20, 980, generator)
    noise = torch.randn(FOUR.shape, generator=generator)
    noisy = per_view(level.signal) * FOUR + per_view(level.noise) * noise
    epsilon = prior.exact.epsilon_of_mean(noisy, level, prior.guided_mean(50.0))
    expected = per_view(level.noise / level.signal) * (epsilon - noise)
    torch.testing.assert_close(gradient(made), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("space", ["output", "epsilon"])
def test_other_spaces_rescale_over_the_group_too(space: str) -> None:
    def found(views: int, over: str) -> Tensor:
        values = {"scale": 5, "rescale": 0.5, "rescale_space": space, "rescale_over": over}
        return gradient(run(TiltedViews(views_per_group=views), FOUR, timesteps=POINT, guider=values))

    assert torch.equal(found(1, "group"), found(2, "view"))
    assert (found(2, "group") - found(2, "view")).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"guider": {"rescale_over": "group"}}, "rescale_over: has no effect with rescale 0"),
        ({"guider": {"type": "nfsd", "rescale_over": "group"}, "reference": "none"}, "rescale_over: is of type cfg and"),
        ({"timesteps": {"shared": "groups"}}, "timesteps.shared"),
        ({"timesteps": {"type": "point", "shared": "group"}}, "shared: is of type window only"),
        (
            {"timesteps": {"shared": "group"}, "noise": {"type": "inverted", "eta": 0.3}},
            "views must share it. Set timesteps to point, or timesteps.shared=true",
        ),
        (
            {"timesteps": {"shared": "group"}, "noise": {"type": "inverted", "overshoot": True}},
            "noise: overshoot ends each view at a timestep of its own",
        ),
    ],
)  # fmt: skip
def test_groups_that_cannot_be_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bind(DistillationConfig, values, "score")
    assert message in str(caught.value)
