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
    color: Color = WHITE
    """RGB in [0, 1]."""

    def __post_init__(self) -> None:
        check_fields(self)

    def parameter_specs(self) -> Specs:
        """No parameters."""
        return {}


@dataclass(frozen=True)
class RandomSolidConfig:
    white_probability: Share = 0.0
    """In training, the probability that a view gets white instead of a random colour."""
    eval_color: Color = WHITE
    """RGB in [0, 1] behind pictures for people."""

    def __post_init__(self) -> None:
        check_fields(self)

    def parameter_specs(self) -> Specs:
        """No parameters."""
        return {}


@dataclass(frozen=True)
class NeuralEnvironmentConfig:
    encoding: Literal["spherical-harmonics", "frequency"] = "spherical-harmonics"
    """What the network sees of a direction: nine spherical harmonics (smooth) or sines of many octaves (detailed)."""
    frequencies: Annotated[int, Range(least=1, most=16)] = 6
    """For `frequency`: how many octaves."""
    hidden_width: Width = 16
    """Width of the network."""
    hidden_layers: Depth = 2
    """Hidden layers of the network."""
    random_probability: Share = 0.5
    """In training, the probability that a view gets a random colour instead, so that no object hides in it."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def encoding_width(self) -> int:
        """Width of an encoded direction: nine harmonics, or the direction and its sines and cosines."""
        return 9 if self.encoding == "spherical-harmonics" else 3 + 6 * self.frequencies

    def parameter_specs(self) -> Specs:
        """Linear layers with an activation between each."""
        widths = [self.encoding_width, *[self.hidden_width] * self.hidden_layers, 3]
        return {
            name: spec
            for index, (inputs, outputs) in enumerate(pairwise(widths))
            for name, spec in linear(f"network.{2 * index}", inputs, outputs).items()
        }
