"""Settings of the built-in backgrounds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from bozzetto.fields import Depth, Range, Share, Width, check_fields
from bozzetto.parameters import Specs, linear

Color = tuple[Share, Share, Share]
WHITE: Color = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class SolidConfig:
    """Settings of a background of one fixed colour."""

    color: Color = WHITE
    """Background colour, RGB in [0, 1]."""

    def __post_init__(self) -> None:
        check_fields(self)

    def parameter_specs(self) -> Specs:
        """Return an empty mapping: the background has no parameters."""
        return {}


@dataclass(frozen=True)
class RandomSolidConfig:
    """Settings of a background with a random colour per training view; views of a group share it."""

    white_probability: Share = 0.0
    """Probability that a training view gets a white background instead of a random colour."""
    eval_color: Color = WHITE
    """Background colour of evaluation renders, RGB in [0, 1]."""

    def __post_init__(self) -> None:
        check_fields(self)

    def parameter_specs(self) -> Specs:
        """Return an empty mapping: the background has no parameters."""
        return {}


@dataclass(frozen=True)
class NeuralEnvironmentConfig:
    """Settings of the learned environment background, an MLP of the ray direction."""

    encoding: Literal["spherical-harmonics", "frequency"] = "spherical-harmonics"
    """Encoding of ray directions: nine spherical harmonics (smooth) or sines and cosines of octaves (detailed)."""
    frequencies: Annotated[int, Range(least=1, most=16)] = 6
    """Number of octaves of the `frequency` encoding."""
    hidden_width: Width = 16
    """Width of the hidden layers."""
    hidden_layers: Depth = 2
    """Number of hidden layers."""
    random_probability: Share = 0.5
    """Probability that a training view (or group) gets a random colour instead; keeps it from depicting the object."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def encoding_width(self) -> int:
        """Width of an encoded direction: 9 harmonics, or 3 + 6 * frequencies with the direction itself included."""
        return 9 if self.encoding == "spherical-harmonics" else 3 + 6 * self.frequencies

    def parameter_specs(self) -> Specs:
        """Return the specs of the linear layers of `network`."""
        widths = [self.encoding_width, *[self.hidden_width] * self.hidden_layers, 3]
        return {
            name: spec
            for index, (inputs, outputs) in enumerate(pairwise(widths))
            for name, spec in linear(f"network.{2 * index}", inputs, outputs).items()
        }
