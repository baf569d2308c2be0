"""Settings of the built-in materials."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from bozzetto.fields import Length, Range, Share, Step, Width, check_fields
from bozzetto.parameters import Specs, linear
from bozzetto.recipe import Stage, Task

Mode = Literal["albedo", "textureless", "lambertian", "normal"]
"""The modes of `bozzetto.types.ShadingMode`, repeated because configs import no torch."""

Color = tuple[Share, Share, Share]
Perturbation = Annotated[float, Range(least=0.0, most=1e3)]


def check_feature_count(stage: Stage) -> None:
    """Raises `ValueError` unless the geometry gives the three features that the albedo is read from."""
    count = getattr(stage.geometry.config, "feature_count", None)
    if count is not None and not count >= 3:
        raise ValueError(
            f"it reads RGB from the geometry's features and needs at least 3, and the geometry {stage.geometry.name!r} "
            f"gives {count}. Raise its feature_count to 3"
        )


@dataclass(frozen=True)
class PlaneLightDiffuseConfig:
    normal_until_step: Step = 0
    """Before this step every view shows its normals as colours: geometry first, stable-dreamfusion's warm-up."""
    albedo_until_step: Step = 0
    """Before this step (and after `normal_until_step`) every view is unlit."""
    albedo_probability: Share = 0.0
    """Later, the probability that a step is unlit; unlit steps need no normals and are faster."""
    textureless_probability: Share = 0.2
    """The probability that a lit step shows a white object, so that shape cannot hide behind colour."""
    min_ambient: Share = 0.1
    """Ambient light of a lit view is drawn from [min_ambient, 1]; the light has the rest."""
    light_perturbation: Perturbation = 1.0
    """Standard deviation, world units, of the light around the camera before its direction is taken."""
    eval_mode: Mode = "albedo"
    """Shading of pictures for people; the light then stands at the camera."""
    eval_ambient: Share = 0.3
    """Ambient light of pictures for people, where `eval_mode` is lit."""

    def __post_init__(self) -> None:
        check_fields(self)

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raises `ValueError` if the geometry gives too few features."""
        check_feature_count(stage)

    def parameter_specs(self, feature_count: int) -> Specs:
        """No parameters."""
        return {}


@dataclass(frozen=True)
class PointLightDiffuseConfig:
    albedo_until_step: Step = 1000
    """Before this step every view is unlit (threestudio's `ambient_only_steps`)."""
    diffuse_probability: Share = 0.75
    """Later, the probability that a step is lit; otherwise it is unlit."""
    textureless_probability: Share = 0.5
    """The probability that a lit step shows a white object."""
    ambient_color: Color = (0.1, 0.1, 0.1)
    """Ambient light, RGB."""
    diffuse_color: Color = (0.9, 0.9, 0.9)
    """Colour of the point light, RGB. Ambient plus diffuse is at most 1 in each channel."""
    soft_shading: bool = False
    """Draw the strength d of the light from [0, 1] for each view, ambient being 1 - d, in place of the two colours."""
    light_sampling: Literal["dreamfusion", "magic3d"] = "dreamfusion"
    """`dreamfusion`: normally distributed around the camera; `magic3d`: at most 60 degrees away from it."""
    light_perturbation: Perturbation = 1.0
    """For `dreamfusion`: standard deviation, world units, around the camera before the direction is taken."""
    light_distance: tuple[Length, Length] = (0.8, 1.5)
    """Range of the light's distance from the origin, world units."""
    eval_mode: Mode = "albedo"
    """Shading of pictures for people; the light then stands at the camera."""

    def __post_init__(self) -> None:
        check_fields(self)
        if any(a + d > 1.0 + 1e-6 for a, d in zip(self.ambient_color, self.diffuse_color, strict=True)):
            raise ValueError(f"diffuse_color: plus ambient_color must be at most 1, got {self.diffuse_color}")
        if not 0.0 < self.light_distance[0] <= self.light_distance[1]:
            raise ValueError(f"light_distance: must be 0 < near <= far, got {self.light_distance}")

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raises `ValueError` if the geometry gives too few features."""
        check_feature_count(stage)

    def parameter_specs(self, feature_count: int) -> Specs:
        """No parameters."""
        return {}


@dataclass(frozen=True)
class NoMaterialConfig:
    hidden_width: Width = 32
    """Width of the network that makes RGB, used only if the geometry gives other than 3 features."""
    hidden_layers: Annotated[int, Range(least=0, most=64)] = 1
    """Hidden layers of that network."""

    def __post_init__(self) -> None:
        check_fields(self)

    def parameter_specs(self, feature_count: int) -> Specs:
        """Linear layers with an activation between each; none for three features."""
        if feature_count == 3:
            return {}
        widths = [feature_count, *[self.hidden_width] * self.hidden_layers, 3]
        return {
            name: spec
            for index, (inputs, outputs) in enumerate(pairwise(widths))
            for name, spec in linear(f"to_rgb.{2 * index}", inputs, outputs).items()
        }
