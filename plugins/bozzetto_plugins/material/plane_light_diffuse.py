"""Diffuse material with one directional light per view and stable-dreamfusion's schedule of shading modes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.math.rows import rows_at
from bozzetto.math.shading import light_near_camera
from bozzetto.math.view_draws import draw_for_host, draw_groups
from bozzetto.types import Cameras, FieldOutput, Shading, ShadingMode
from bozzetto_plugins.material import diffuse
from bozzetto_plugins.material.config import PlaneLightDiffuseConfig


class PlaneLightDiffuse(nn.Module):
    """Diffuse material: color = albedo * (ambient + (1 - ambient) * max(0, n.l)), albedo = sigmoid(features[:3]).

    The mode is drawn once per step, the ambient light and the noise of the light direction once per view or group.
    """

    def __init__(self, config: PlaneLightDiffuseConfig, feature_count: int) -> None:
        super().__init__()
        diffuse.check_feature_count("plane-light-diffuse", feature_count)
        self.config = config

    def sample_shading(self, cameras: Cameras, step: int, generator: torch.Generator) -> Shading:
        """Draw mode, light and ambient; consumes the same number of random numbers in every mode."""
        views = len(cameras), cameras.views_per_group
        choice = draw_for_host(2, generator)
        ambient = draw_groups(lambda n, g: torch.rand(n, 1, generator=g, device=g.device), *views, generator)
        ambient = self.config.min_ambient + (1.0 - self.config.min_ambient) * ambient.expand(-1, 3)
        noise = draw_groups(lambda n, g: torch.randn(n, 3, generator=g, device=g.device), *views, generator)
        light = light_near_camera(cameras.position, noise * self.config.light_perturbation)
        return Shading(self._mode(step, choice[0], choice[1]), light, ambient, 1.0 - ambient)

    def _mode(self, step: int, unlit: float, textureless: float) -> ShadingMode:
        config = self.config
        if step < config.normal_until_step:
            return "normal"
        if step < config.albedo_until_step or unlit < config.albedo_probability:
            return "albedo"
        return "textureless" if textureless < config.textureless_probability else "lambertian"

    def eval_shading(self, cameras: Cameras) -> Shading:
        """Return the shading of evaluation renders: `eval_mode`, lit from the camera."""
        ambient = torch.full_like(cameras.position, self.config.eval_ambient)
        light = light_near_camera(cameras.position, torch.zeros_like(cameras.position))
        return Shading(self.config.eval_mode, light, ambient, 1.0 - ambient)

    def forward(
        self, field: FieldOutput, points: Float[Tensor, "S 3"], view: Int[Tensor, "S"], shading: Shading
    ) -> Float[Tensor, "S 3"]:
        """Return RGB in [0, 1] at each point, lit by the directional light of its view.

        Raises:
            ConfigError: the mode needs normals and the geometry provides none.
        """
        return diffuse.color("plane-light-diffuse", field, view, shading, lambda: rows_at(shading.light, view))

    def albedo(self, features: Float[Tensor, "S F"]) -> Float[Tensor, "S 3"]:
        """Return the albedo in (0, 1): the sigmoid of the first three features."""
        return diffuse.albedo(features)
