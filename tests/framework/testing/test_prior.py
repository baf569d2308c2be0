"""Tests of the contract of priors: sound ones pass, and each kind of fault is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.kinds.score import PriorSource
from bozzetto.math.levels import Level, Output
from bozzetto.testing.fakes import cameras_around, tiny_stable_diffusion
from bozzetto.testing.prior import PriorContract
from bozzetto.testing.score_prior import GaussianViews
from bozzetto.types import Cameras, ViewCondition
from bozzetto_plugins.guidance.config import StableDiffusionConfig
from bozzetto_plugins.guidance.stable_diffusion import StableDiffusion


class Exact(GaussianViews):
    """Prior of Gaussian pixels whose branches are checked, and whose outputs have no gradient."""

    def predict(self, noisy: Tensor, timestep: Tensor, branches: Any) -> Mapping[Any, Tensor]:
        if unknown := set(branches) - self.branches:
            raise ConfigError(f"no {unknown}")
        return {branch: output.detach() for branch, output in super().predict(noisy, timestep, branches).items()}


@dataclass
class Source:
    """Source of one prior."""

    views: GaussianViews

    def prior(self, condition: Any, cameras: Any, step: int) -> GaussianViews:
        self.views.around = cameras
        return self.views


class GaussianContract(PriorContract):
    kind: type[GaussianViews] = Exact
    output: Output = "epsilon"

    def make(self) -> PriorSource:
        return Source(self.kind(output=self.output, branches=frozenset({"cond", "uncond"})))

    def condition(self, source: PriorSource) -> ViewCondition:
        return ViewCondition(torch.zeros(2, 1, 1), torch.zeros(2, 1, 1))


class TestNoise(GaussianContract):
    pass


class TestVelocity(GaussianContract):
    output: Output = "v"


class TestStableDiffusion(PriorContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tiny_stable_diffusion(tmp_path, "v_prediction")

    def make(self) -> PriorSource:
        config = StableDiffusionConfig(model="tiny", dtype="float32")
        return StableDiffusion(config, self.folder, torch.device("cpu"))


class NotFrozen(Exact):
    def predict(self, noisy: Tensor, timestep: Tensor, branches: Any) -> Mapping[Any, Tensor]:
        return GaussianViews.predict(self, noisy, timestep, branches)


class Swapped(Exact):
    """Levels in the wrong order."""

    def level(self, timestep: Tensor) -> Level:
        return super().level(self.train_steps - 1 - timestep)


class Elsewhere(Exact):
    """Other cameras than those of the views."""

    @property
    def cameras(self) -> Cameras:
        return cameras_around([10.0, 20.0])


class OtherNoise(Exact):
    """Conversion to noise that does not fit that to clean latents."""

    def epsilon(self, output: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        return 0.9 * super().epsilon(output, noisy, timestep)


class Bright(Exact):
    def decode(self, latents: Tensor) -> Tensor:
        return super().decode(latents) + 1.0


class Deaf(Exact):
    """The same prediction for each condition."""

    def predict(self, noisy: Tensor, timestep: Tensor, branches: Any) -> Mapping[Any, Tensor]:
        same = super().predict(noisy, timestep, ["cond"])["cond"]
        return dict.fromkeys(branches, same)


class Random(Exact):
    def predict(self, noisy: Tensor, timestep: Tensor, branches: Any) -> Mapping[Any, Tensor]:
        return {
            branch: output + torch.randn(()) for branch, output in super().predict(noisy, timestep, branches).items()
        }


class Cut(Exact):
    """Latents without gradient."""

    def latents(self, rendered: Any, generator: torch.Generator) -> Tensor:
        return super().latents(replace(rendered, image=rendered.image.detach().requires_grad_()), generator)


@pytest.mark.parametrize(
    ("kind", "failing"),
    [
        (NotFrozen, "test_it_is_frozen_and_draws_nothing"),
        (Random, "test_it_is_frozen_and_draws_nothing"),
        (Swapped, "test_noise_increases_with_the_timestep_and_signal_decreases"),
        (Elsewhere, "test_its_cameras_are_those_of_the_views"),
        (OtherNoise, "test_noise_and_clean_latents_make_the_noisy_ones"),
        (Bright, "test_decoded_latents_are_images_in_0_1_of_the_size_of_image"),
        (Deaf, "test_the_condition_matters"),
        (Deaf, "test_a_branch_that_it_lacks_is_an_error"),
        (Cut, "test_a_finite_gradient_reaches_every_view"),
    ],
)
def test_each_fault_is_found(kind: type[GaussianViews], failing: str) -> None:
    contract = GaussianContract()
    contract.kind = kind
    assert failing in dict(contract.each())
    with pytest.raises(AssertionError):
        getattr(contract, failing)()


def test_without_make_it_says_so() -> None:
    with pytest.raises(AssertionError, match=r"PriorContract must define make\(\)"):
        PriorContract().make()
