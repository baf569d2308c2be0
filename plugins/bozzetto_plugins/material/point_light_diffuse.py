"""Diffuse material with one point light per view and threestudio's schedule of shading modes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from bozzetto.math.constants import constant
from bozzetto.math.rows import rows_at
from bozzetto.math.shading import light_in_cone, light_near_camera
from bozzetto.math.view_draws import draw_for_host, draw_groups
from bozzetto.types import Cameras, FieldOutput, Shading, ShadingMode
from bozzetto_plugins.material import diffuse
from bozzetto_plugins.material.config import PointLightDiffuseConfig


class PointLightDiffuse(nn.Module):
    """Diffuse material: color = albedo * (ambient + diffuse * max(0, n.l)), l pointing from the surface to the light.

    The mode is drawn once per step, the light once per view. Views of a group share the draw: the light's distance and
    strength, and the noise by which it is off each camera's direction (as threestudio-mvdream does).
    """

    def __init__(self, config: PointLightDiffuseConfig, feature_count: int) -> None:
        super().__init__()
        diffuse.check_feature_count("point-light-diffuse", feature_count)
        self.config = config

    def sample_shading(self, cameras: Cameras, step: int, generator: torch.Generator) -> Shading:
        """Draw mode and light; consumes the same number of random numbers in every mode."""
        choice = draw_for_host(2, generator)
        near, far = self.config.light_distance
        distance = near + (far - near) * _uniform(cameras, 1, generator)
        strength = _uniform(cameras, 1, generator).expand(-1, 3)
        light = distance * self._light_direction(cameras, generator)
        ambient, color = (1.0 - strength, strength) if self.config.soft_shading else self._fixed_colors(cameras)
        return Shading(self._mode(step, choice[0], choice[1]), light, ambient, color)

    def _light_direction(self, cameras: Cameras, generator: torch.Generator) -> Float[Tensor, "B 3"]:
        views = len(cameras), cameras.views_per_group
        if self.config.light_sampling == "magic3d":
            angles = draw_groups(lambda n, g: torch.rand(2, n, generator=g, device=g.device).mT, *views, generator)
            return light_in_cone(cameras.position, *angles.unbind(dim=1))
        noise = draw_groups(lambda n, g: torch.randn(n, 3, generator=g, device=g.device), *views, generator)
        return light_near_camera(cameras.position, noise * self.config.light_perturbation)

    def _fixed_colors(self, cameras: Cameras) -> tuple[Float[Tensor, "B 3"], Float[Tensor, "B 3"]]:
        ambient = constant(self.config.ambient_color, cameras.position.device).expand(len(cameras), -1)
        return ambient, constant(self.config.diffuse_color, cameras.position.device).expand(len(cameras), -1)

    def _mode(self, step: int, lit: float, textureless: float) -> ShadingMode:
        if step < self.config.albedo_until_step or lit >= self.config.diffuse_probability:
            return "albedo"
        return "textureless" if textureless < self.config.textureless_probability else "lambertian"

    def eval_shading(self, cameras: Cameras) -> Shading:
        """Return the shading of evaluation renders: `eval_mode`, lit from the camera in the configured colours."""
        ambient, color = self._fixed_colors(cameras)
        return Shading(self.config.eval_mode, cameras.position, ambient, color)

    def forward(
        self, field: FieldOutput, points: Float[Tensor, "S 3"], view: Int[Tensor, "S"], shading: Shading
    ) -> Float[Tensor, "S 3"]:
        """Return RGB in [0, 1] at each point, lit by the point light of its view.

        Raises:
            ConfigError: the mode needs normals and the geometry provides none.
        """
        return diffuse.color(
            "point-light-diffuse",
            field,
            view,
            shading,
            lambda: normalize(rows_at(shading.light, view) - points, dim=-1),
        )

    def albedo(self, features: Float[Tensor, "S F"]) -> Float[Tensor, "S 3"]:
        """Return the albedo in (0, 1): the sigmoid of the first three features."""
        return diffuse.albedo(features)


def _uniform(cameras: Cameras, channels: int, generator: torch.Generator) -> Float[Tensor, "B {channels}"]:
    """Draw numbers uniform in [0, 1), one row per view, equal in each group of views."""
    return draw_groups(
        lambda n, g: torch.rand(n, channels, generator=g, device=g.device),
        len(cameras),
        cameras.views_per_group,
        generator,
    )
