"""Settings of the built-in materials."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from bozzetto.fields import Length, Range, Share, Step, Width, check_fields
from bozzetto.parameters import ParameterSpec, Specs, linear
from bozzetto.recipe import Stage, Task

Mode = Literal["albedo", "textureless", "lambertian", "normal"]
"""Values of `bozzetto.types.ShadingMode`, repeated because configs do not import torch."""

Color = tuple[Share, Share, Share]
Perturbation = Annotated[float, Range(least=0.0, most=1e3)]


def check_feature_count(stage: Stage) -> None:
    """Raise `ValueError` unless the geometry provides at least three features, from which the albedo is read."""
    count = getattr(stage.geometry.config, "feature_count", None)
    if count is not None and not count >= 3:
        raise ValueError(
            f"it reads RGB from the geometry's features and needs at least 3, and the geometry {stage.geometry.name!r} "
            f"gives {count}. Raise its feature_count to 3"
        )


@dataclass(frozen=True)
class PlaneLightDiffuseConfig:
    """Settings of diffuse shading with one directional light per view. Views of a group are lit alike."""

    normal_until_step: Step = 0
    """Before this step, renders show normals as colours, as in the warm-up of stable-dreamfusion."""
    albedo_until_step: Step = 0
    """Before this step (and after `normal_until_step`), renders are unlit: albedo only."""
    albedo_probability: Share = 0.0
    """Probability of an unlit step after `albedo_until_step`; unlit steps need no normals and are faster."""
    textureless_probability: Share = 0.2
    """Probability that a lit step renders a white albedo, so that colour cannot substitute for shape."""
    min_ambient: Share = 0.1
    """Lower bound of the ambient light, drawn from [min_ambient, 1] per view; the diffuse light is 1 - ambient."""
    light_perturbation: Perturbation = 1.0
    """Standard deviation of the noise added to the camera position to get the light direction, world units."""
    eval_mode: Mode = "albedo"
    """Shading mode in evaluation renders, with the light at the camera."""
    eval_ambient: Share = 0.3
    """Ambient light in evaluation renders, used if `eval_mode` is lit."""

    def __post_init__(self) -> None:
        check_fields(self)

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if the geometry provides fewer than three features."""
        check_feature_count(stage)

    def parameter_specs(self, feature_count: int) -> Specs:
        """Return an empty mapping: the material has no parameters."""
        return {}


@dataclass(frozen=True)
class PointLightDiffuseConfig:
    """Settings of diffuse shading with one point light per view. Views of a group are lit alike."""

    albedo_until_step: Step = 1000
    """Before this step, renders are unlit (threestudio's `ambient_only_steps`)."""
    diffuse_probability: Share = 0.75
    """Probability of a lit step after `albedo_until_step`."""
    textureless_probability: Share = 0.5
    """Probability that a lit step renders a white albedo."""
    ambient_color: Color = (0.1, 0.1, 0.1)
    """Ambient light, RGB in [0, 1]."""
    diffuse_color: Color = (0.9, 0.9, 0.9)
    """Colour of the point light, RGB in [0, 1]; ambient plus diffuse must be at most 1 in each channel."""
    soft_shading: bool = False
    """Draw the light's strength d per view from [0, 1] and use ambient 1 - d, instead of the two fixed colours."""
    light_sampling: Literal["dreamfusion", "magic3d"] = "dreamfusion"
    """Light direction: `dreamfusion`: normally distributed around the camera; `magic3d`: within 60 degrees of it."""
    light_perturbation: Perturbation = 1.0
    """For `dreamfusion`: standard deviation of the noise added to the camera position, world units."""
    light_distance: tuple[Length, Length] = (0.8, 1.5)
    """Range of the light's distance from the origin, world units."""
    eval_mode: Mode = "albedo"
    """Shading mode in evaluation renders, with the light at the camera."""

    def __post_init__(self) -> None:
        check_fields(self)
        if any(a + d > 1.0 + 1e-6 for a, d in zip(self.ambient_color, self.diffuse_color, strict=True)):
            raise ValueError(f"diffuse_color: plus ambient_color must be at most 1, got {self.diffuse_color}")
        if not 0.0 < self.light_distance[0] <= self.light_distance[1]:
            raise ValueError(f"light_distance: must be 0 < near <= far, got {self.light_distance}")

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if the geometry provides fewer than three features."""
        check_feature_count(stage)

    def parameter_specs(self, feature_count: int) -> Specs:
        """Return an empty mapping: the material has no parameters."""
        return {}


@dataclass(frozen=True)
class NoMaterialConfig:
    """Settings of the unlit material."""

    hidden_width: Width = 32
    """Width of the network from features to RGB, used only if the geometry does not provide exactly 3 features."""
    hidden_layers: Annotated[int, Range(least=0, most=64)] = 1
    """Number of hidden layers of that network."""

    def __post_init__(self) -> None:
        check_fields(self)

    def parameter_specs(self, feature_count: int) -> Specs:
        """Return the specs of the linear layers of `to_rgb`; empty for three features."""
        if feature_count == 3:
            return {}
        widths = [feature_count, *[self.hidden_width] * self.hidden_layers, 3]
        return {
            name: spec
            for index, (inputs, outputs) in enumerate(pairwise(widths))
            for name, spec in linear(f"to_rgb.{2 * index}", inputs, outputs).items()
        }


@dataclass(frozen=True)
class LatentConfig:
    """Settings of the material of scenes in latent space (Latent-NeRF, Metzer et al. 2022).

    The geometry's features are the latents: its `feature_count` is the model's number of latent channels, 4 for Stable
    Diffusion, 48 for the bundled prior.
    """

    space: Literal["latent", "rgb"] = "latent"
    """What training renders: latents, at the resolution of the model's latents, or colours by a trained linear map."""
    codec: Literal["stable-diffusion", "pixels"] = "stable-diffusion"
    """Linear map from latents to colours: that of Stable Diffusion, or of a codec whose latents are the pixels of a
    patch, which is the patch's mean colour. It is the initial one in space `rgb`, and makes pictures of latents."""

    def __post_init__(self) -> None:
        check_fields(self)

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if the renderer knows no latents, or the geometry gives another number of features."""
        if self.space == "latent" and "latent" not in stage.renderer.entry.spec.provides:
            raise ValueError(
                f"space: renderer {stage.renderer.name!r} renders colours only. Set space to rgb, or the renderer to "
                "volume"
            )
        count = getattr(stage.geometry.config, "feature_count", None)
        if count is not None and self.codec == "stable-diffusion" and count != 4:
            raise ValueError(
                f"codec: latents of Stable Diffusion have 4 channels, and the geometry {stage.geometry.name!r} gives "
                f"{count} features. Set its feature_count to 4, or codec to pixels"
            )

    def parameter_specs(self, feature_count: int) -> Specs:
        """Return the spec of the linear map."""
        return {"to_rgb": ParameterSpec((3, feature_count))}
