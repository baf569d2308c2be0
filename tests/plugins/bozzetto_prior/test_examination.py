"""Tests of the comparison of an output with its target, for priors that do not say what their networks predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from bozzetto.kinds.score import Branch, Prior
from bozzetto.math.levels import Level, Output, epsilon_at, per_view, target_at, variance_preserving, x0_at
from bozzetto.testing.fakes import tiny_stable_diffusion
from bozzetto.types import Cameras, Rendered, ViewCondition
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.stable_diffusion import StableDiffusion
from bozzetto_prior.examination import _Contract, target_likeness

DOUBT = "the network is untrained, or prediction type or schedule are wrong"
TRAINED = ("epsilon", "v", "x0")


@dataclass
class Stranger:
    """Prior of a package, without the networks of this one: it never says what it predicts.

    `knows` is what it was trained to predict; None: nothing, its output is random. `says` is how it converts the output.
    """

    cameras: Cameras
    says: Output
    knows: Output | None
    shown: list[Tensor] = field(default_factory=list)
    name: ClassVar[str] = "stranger"
    cure: ClassVar[str] = ""
    train_steps: ClassVar[int] = 1000
    branches: ClassVar[frozenset[Branch]] = frozenset({"cond"})
    negative_weights: ClassVar[None] = None
    view_weight: ClassVar[None] = None

    @property
    def views_per_group(self) -> int:
        return self.cameras.views_per_group

    def latents(self, rendered: Rendered, generator: torch.Generator) -> Tensor:
        self.shown[:] = [2.0 * self.image(rendered).detach() - 1.0]
        return 2.0 * self.image(rendered) - 1.0

    def image(self, rendered: Rendered) -> Tensor:
        return rendered.image.permute(0, 3, 1, 2)

    def level(self, timestep: Tensor) -> Level:
        return variance_preserving(torch.linspace(0.999, 0.001, 1000)[timestep])

    def predict(self, noisy: Tensor, timestep: Tensor, branches: Sequence[Branch]) -> Mapping[Branch, Tensor]:
        if self.knows is None:
            return {"cond": torch.randn(noisy.shape, generator=torch.Generator().manual_seed(7))}
        level, (clean,) = self.level(timestep), self.shown
        noise = (noisy - per_view(level.signal) * clean) / per_view(level.noise)
        return {"cond": target_at(self.knows, clean, noise, level)}

    def epsilon(self, output: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        return epsilon_at(self.says, output, noisy, self.level(timestep))

    def x0(self, output: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        return x0_at(self.says, output, noisy, self.level(timestep))

    def decode(self, latents: Tensor) -> Tensor:
        return (0.5 * latents + 0.5).clamp(0.0, 1.0)

    def rest(self) -> None:
        """No weights are offloaded."""


def of_stranger(says: Output, knows: Output | None) -> str:
    class Source:
        def prior(self, condition: ViewCondition, cameras: Cameras, step: int) -> Prior:
            return Stranger(cameras, says, knows)

    contract = _Contract()
    contract.source = Source()
    nothing = ViewCondition(torch.zeros(2, 1, 1), torch.zeros(2, 1, 1))
    contract.condition = lambda source: nothing
    return target_likeness(contract)


@pytest.mark.parametrize("says", TRAINED)
def test_a_random_output_is_doubted_whatever_it_stands_for(says: Output) -> None:
    assert DOUBT in of_stranger(says, None)


@pytest.mark.parametrize("says", TRAINED)
def test_an_exact_output_is_not_doubted(says: Output) -> None:
    assert of_stranger(says, says) == "output and its target correlate by 1.000 at t = 500"


@pytest.mark.parametrize(("says", "knows"), [("epsilon", "x0"), ("x0", "epsilon"), ("x0", "v"), ("v", "x0")])
def test_a_wrong_prediction_type_is_doubted(says: Output, knows: Output) -> None:
    assert DOUBT in of_stranger(says, knows)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_number_does_not_depend_on_the_guidance_s_saying_what_is_predicted(
    tmp_path: Path, prediction: Literal["epsilon", "v_prediction"]
) -> None:
    """The number of a model of this package is the likeness of the output itself and its target."""
    folder = tiny_stable_diffusion(tmp_path / "model", prediction)
    contract = _Contract()
    contract.source = StableDiffusion(StableDiffusionConfig(dtype="float32"), folder, torch.device("cpu"))
    prior: Any
    prior, latents, noise, timestep = contract.example()
    level = prior.level(timestep)
    noisy = per_view(level.signal) * latents + per_view(level.noise) * noise
    output, target = prior.predict(noisy, timestep, ["cond"])["cond"], target_at(prior.output, latents, noise, level)
    likeness = torch.nn.functional.cosine_similarity(output.flatten(), target.flatten(), dim=0).item()
    assert f"correlate by {likeness:.3f} at t = 500; {DOUBT}" in target_likeness(contract)
