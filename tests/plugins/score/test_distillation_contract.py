"""Contract tests of every method that the built-in score can be composed to."""

from __future__ import annotations

from typing import Any, ClassVar

from bozzetto.config.binding import bind
from bozzetto.testing.score import ScoreContract
from bozzetto.testing.score_prior import GaussianParticles
from bozzetto_plugins.score.config import DistillationConfig
from bozzetto_plugins.score.distillation import Distillation

INVERTED = {"type": "inverted", "spacing": 0.2}


class Composed(ScoreContract):
    values: ClassVar[dict[str, Any]] = {}

    def make(self) -> Distillation:
        return Distillation(bind(DistillationConfig, self.values, "score"))


class TestSds(Composed): ...


class TestRescaled(Composed):
    values: ClassVar[dict[str, Any]] = {"guider": {"scale": 50, "rescale": 0.5, "rescale_space": "x0"}}


class TestMvDream(Composed):
    values: ClassVar[dict[str, Any]] = {
        "guider": {"scale": 50, "rescale": 0.5, "rescale_space": "x0", "rescale_over": "group"},
        "timesteps": {"shared": "group"}, "weighting": "sigma-over-alpha",
    }  # fmt: skip


class TestPerpNeg(Composed):
    values: ClassVar[dict[str, Any]] = {"guider": "perp-neg"}


class TestCsd(Composed):
    values: ClassVar[dict[str, Any]] = {
        "guider": {"type": "mix", "empty": -0.5}, "reference": "none", "weighting": "uniform", "normalise": True
    }  # fmt: skip


class TestNfsd(Composed):
    values: ClassVar[dict[str, Any]] = {"guider": "nfsd", "reference": "none"}


class TestIsm(Composed):
    values: ClassVar[dict[str, Any]] = {
        "timesteps": {"shared": True}, "noise": INVERTED, "reference": "interval", "weighting": "sigma-over-alpha",
    }  # fmt: skip


class TestSdi(Composed):
    values: ClassVar[dict[str, Any]] = {
        "timesteps": {"type": "point", "at": 0.6},
        "noise": {**INVERTED, "scale": -6.5, "base": "uncond", "eta": 0.3, "overshoot": True},
        "weighting": "sigma-over-alpha",
    }


class TestHifa(Composed):
    values: ClassVar[dict[str, Any]] = {
        "timesteps": {"type": "point", "at": 0.6}, "target_steps": 3, "image_term": 0.1, "weighting": "sigma-over-alpha"
    }  # fmt: skip


class TestDreamTime(Composed):
    values: ClassVar[dict[str, Any]] = {"timesteps": "dreamtime"}


class TestInvertedWithoutChance(Composed):
    draws = False
    values: ClassVar[dict[str, Any]] = {"timesteps": {"type": "point", "at": 0.6}, "noise": INVERTED}


class TestFsd(Composed):
    draws = False
    values: ClassVar[dict[str, Any]] = {
        "timesteps": {"type": "point", "at": 0.6}, "noise": {"type": "consistent", "refresh_steps": 30},
        "weighting": "sigma-over-alpha",
    }  # fmt: skip


class TestConsistentNoiseAtRandomTimesteps(Composed):
    values: ClassVar[dict[str, Any]] = {"noise": "consistent", "timesteps": {"shared": "group"}}


class TestVsd(Composed):
    values: ClassVar[dict[str, Any]] = {"guider": {"scale": 7.5}, "reference": "adapter"}

    def prior(self) -> GaussianParticles:
        return GaussianParticles(particle_deviation=0.1)
