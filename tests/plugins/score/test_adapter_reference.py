"""Closed forms of variational score distillation on Gaussian images, whose adapter is exact, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bozzetto.config.binding import bind
from bozzetto.errors import ConfigError
from bozzetto.math.levels import per_view, target_at
from bozzetto.testing.score_prior import GaussianParticles, GaussianViews, picture_of
from bozzetto.types import Cameras, Guided, ViewCondition
from bozzetto_plugins.guidance import config as guidance_config
from bozzetto_plugins.score.axes import ReferenceConfig
from bozzetto_plugins.score.config import DistillationConfig
from bozzetto_plugins.score.distillation import Distillation

PIXELS = 0.5 + 0.2 * torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
POINT = {"type": "point", "at": 0.4}
T = torch.tensor([400, 400])


def run(prior: GaussianViews, reference: object, seed: int = 0, pixels: Tensor = PIXELS, **values: object) -> Guided:
    given = {"form": "backward", "weighting": "uniform", "timesteps": POINT, "guider": {"scale": 3}, **values}
    score = Distillation(bind(DistillationConfig, {**given, "reference": reference}, "score"))
    return score(prior, picture_of(pixels), 0, torch.Generator().manual_seed(seed))


def gradient(guided: Guided) -> Tensor:
    tensor, mean = guided.gradients["score"]
    return mean * len(tensor)


@pytest.mark.parametrize("output", ["epsilon", "v"])
def test_of_one_particle_it_is_sds(output: str) -> None:
    """A perfect adapter of a single particle finds the noise that was added."""
    expected = gradient(run(GaussianViews(output=output), "noise"))
    found = gradient(run(GaussianParticles(output=output), "adapter"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_of_particles_as_wide_as_the_data_it_is_the_mean_of_sds_without_variance() -> None:
    prior = GaussianParticles(particle_deviation=0.2)
    assert prior.deviation == prior.particle_deviation
    first, second = (gradient(run(prior, "adapter", seed)) for seed in (0, 1))
    torch.testing.assert_close(first, second, rtol=0.0, atol=1e-5)
    torch.testing.assert_close(first, prior.pull(PIXELS, T, 3.0), rtol=1e-4, atol=1e-5)


def test_of_a_velocity_the_noise_is_exact() -> None:
    """The network's target `a n - s x` means the noise n."""
    prior, generator = GaussianParticles(output="v"), torch.Generator().manual_seed(0)
    noise = torch.randn(PIXELS.shape, generator=generator)
    level = prior.level(T)
    noisy = per_view(level.signal) * PIXELS + per_view(level.noise) * noise
    velocity = target_at("v", PIXELS, noise, level)
    torch.testing.assert_close(prior.epsilon(velocity, noisy, T), noise, rtol=0.0, atol=1e-6)


def test_a_perfect_adapter_has_no_loss_and_another_learns() -> None:
    prior = GaussianParticles()
    made = run(prior, "adapter")
    assert made.fit is not None and made.fit().item() < 1e-9
    with torch.no_grad():
        prior.adapter *= 0.5
    loss = made.fit()
    loss.backward()
    assert loss.item() > 0.1 and prior.adapter.grad < 0.0 and prior.weight.grad is None


def test_the_score_sends_no_gradient_to_the_adapter_and_its_loss_none_to_the_scene() -> None:
    prior, rendered = GaussianParticles(particle_deviation=0.2), picture_of(PIXELS)
    values = {"guider": {"scale": 3}, "reference": "adapter"}
    score = Distillation(bind(DistillationConfig, values, "score"))
    made = score(prior, rendered, 0, torch.Generator().manual_seed(0))
    made.losses["score"].backward()
    assert prior.adapter.grad is None and rendered.image.grad is not None
    before = rendered.image.grad.clone()
    assert made.fit is not None
    made.fit().backward()
    assert prior.adapter.grad is not None and torch.equal(rendered.image.grad, before)


def test_it_is_trained_at_all_timesteps_with_and_without_the_camera() -> None:
    prior = GaussianParticles()
    made = run(prior, {"type": "adapter", "camera_dropout": 0.5})
    ((timestep, branch, told),) = prior.asked
    assert torch.equal(timestep, T) and branch == "plain" and told.all()
    assert made.fit is not None
    for _ in range(50):
        made.fit()
    times, told = (torch.cat([one[index] for one in prior.asked[1:]]) for index in (0, 2))
    assert times.min() < 100 and times.max() > 900  # the score's are all 400
    assert 0.3 < told.float().mean() < 0.7


def test_its_draws_follow_those_of_the_score() -> None:
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    for generator, reference in zip(generators, ("noise", "adapter"), strict=True):
        score = Distillation(bind(DistillationConfig, {"reference": reference}, "score"))
        made = score(GaussianParticles(), picture_of(PIXELS), 0, generator)
    first, second = (generator.get_state() for generator in generators)
    assert torch.equal(first, second) and made.fit is not None
    made.fit()
    assert not torch.equal(generators[1].get_state(), first)


def test_the_learning_rate_warms_up_from_the_first_step() -> None:
    rate = ReferenceConfig("adapter", lr=1.0, warm_up_steps=4).learning_rate
    assert [rate.at(step) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])
    assert ReferenceConfig("adapter", lr=1.0, warm_up_steps=0).learning_rate.at(0) == 1.0


class Plain:
    """A source of priors without an adapter."""

    def prior(self, condition: ViewCondition, cameras: Cameras, step: int) -> GaussianViews:
        return GaussianViews()


def test_a_prior_without_an_adapter_is_refused() -> None:
    with pytest.raises(ConfigError, match="the guidance 'gaussian' offers no adapter"):
        run(GaussianViews(), "adapter")
    score = Distillation(DistillationConfig(reference=ReferenceConfig("adapter")))
    with pytest.raises(ConfigError, match="the guidance Plain has no method 'add_adapter'"):
        score.attach(Plain())
    assert Distillation(DistillationConfig()).trainable() is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reference": {"type": "noise", "rank": 8}}, "rank: is of type adapter only"),
        ({"reference": "adapter", "target_steps": 2}, "target_steps: must be 1 with reference 'adapter'"),
        ({"reference": "adapter", "guider": "nfsd"}, "reference: must be none with guider 'nfsd'"),
        ({"reference": {"type": "adapter", "lr": float("nan")}}, "lr"),
    ],
)
def test_what_has_no_effect_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bind(DistillationConfig, values, "score")


SCORE = {"type": "distillation", "reference": "adapter"}
TASK = {"guidance": {"cfg_scale": None}, "losses": {"sds": None, "score": 1.0}, "score": SCORE}


def test_settings_of_an_adapter_are_fixed_while_it_trains_and_others_are_not() -> None:
    score = Distillation(DistillationConfig(reference=ReferenceConfig("adapter")))
    score.reconfigure(replace(score.config, weighting="uniform"))
    assert score.config.weighting == "uniform"
    for reference in (ReferenceConfig("adapter", rank=2), ReferenceConfig()):
        with pytest.raises(ConfigError, match="fixed while the stage trains"):
            score.reconfigure(replace(score.config, reference=reference))
    assert score.config.reference == ReferenceConfig("adapter")


def test_a_missing_package_and_offloading_by_layer_are_refused(tiny, monkeypatch) -> None:
    def recipe(**guidance: object) -> object:
        changes = {**TASK, "guidance": {"cfg_scale": None, **guidance}}
        return tiny.recipe({"system": {"tasks": {"random": changes}}})

    assert recipe()
    with pytest.raises(ConfigError, match=r"cpu_offload: 'sequential' drops each layer after its use"):
        recipe(cpu_offload="sequential")
    monkeypatch.setattr(guidance_config, "installed", lambda name: name != "peft")
    with pytest.raises(ConfigError, match=r"needs the package peft\. Run: pip install 'bozzetto\[vsd\]'"):
        recipe()


def test_a_guidance_without_an_adapter_is_refused_when_the_recipe_is_read(tiny) -> None:
    (stage,) = tiny.recipe({"system": {"tasks": {"random": TASK}}}).stages
    (task,) = stage.tasks
    posed = replace(task.guidance, config=guidance_config.Zero123Config())
    with pytest.raises(ValueError, match="reference: 'adapter' trains an adapter of the guidance's network"):
        task.score.config.check_neighbours(stage, replace(task, guidance=posed))
