from dataclasses import replace

import pytest
import torch

from bozzetto.math.shading import light_in_cone, light_near_camera
from bozzetto.testing.material import MaterialContract, random_field
from bozzetto.testing.scenes import cameras_around
from bozzetto.types import Shading
from bozzetto_plugins.material.config import PointLightDiffuseConfig
from bozzetto_plugins.material.point_light_diffuse import PointLightDiffuse


class TestPointLightDiffuse(MaterialContract):
    def make(self, feature_count: int = 3) -> PointLightDiffuse:
        return PointLightDiffuse(PointLightDiffuseConfig(albedo_until_step=400), feature_count)


class TestSoftShadingAsMagic3d(MaterialContract):
    def make(self, feature_count: int = 3) -> PointLightDiffuse:
        config = PointLightDiffuseConfig(
            albedo_until_step=0, soft_shading=True, light_sampling="magic3d", eval_mode="lambertian"
        )
        return PointLightDiffuse(config, feature_count)


def test_unlit_first_and_then_the_shares_of_modes() -> None:
    material, generator = PointLightDiffuse(PointLightDiffuseConfig(), 3), torch.Generator().manual_seed(0)
    cameras = cameras_around(1)
    assert {material.sample_shading(cameras, 999, generator).mode for _ in range(50)} == {"albedo"}
    drawn = [material.sample_shading(cameras, 1000, generator).mode for _ in range(500)]
    assert abs(drawn.count("albedo") / 500 - 0.25) < 0.06
    assert abs(drawn.count("textureless") / 500 - 0.375) < 0.06


@pytest.mark.parametrize("light_sampling", ["dreamfusion", "magic3d"])
def test_light_stands_at_its_distance_on_the_camera_side(light_sampling: str) -> None:
    config = PointLightDiffuseConfig(light_sampling=light_sampling, light_distance=(0.8, 1.5))
    cameras = cameras_around(500)
    light = PointLightDiffuse(config, 3).sample_shading(cameras, 0, torch.Generator().manual_seed(0)).light
    distance = light.norm(dim=-1)
    assert 0.79 < float(distance.min()) < 0.85 and 1.45 < float(distance.max()) < 1.51
    toward_camera = torch.nn.functional.normalize(cameras.position, dim=-1)
    assert float((light / distance[:, None] * toward_camera).sum(dim=-1).mean()) > 0.7


def test_light_falls_from_its_position() -> None:
    """A light above the point lights an upward surface, whatever the point's own position."""
    material, field = PointLightDiffuse(PointLightDiffuseConfig(), 3), random_field(3)
    points = torch.tensor([[0.0, 0.0, 0.5], [1.0, 0.0, 0.0], [0.0, 2.0, -1.0]])
    light, ambient, diffuse = torch.tensor([[1.0, 2.0, 3.0]]), torch.full((1, 3), 0.1), torch.full((1, 3), 0.9)
    color = material(field, points, torch.zeros(3, dtype=torch.long), Shading("textureless", light, ambient, diffuse))
    toward = torch.nn.functional.normalize(light - points, dim=-1)
    cosine = (field.normal * toward).sum(dim=-1, keepdim=True).clamp(min=0.0)
    torch.testing.assert_close(color, (0.1 + 0.9 * cosine).expand(3, 3))


def test_soft_shading_shares_light_between_ambient_and_diffuse() -> None:
    material = PointLightDiffuse(PointLightDiffuseConfig(soft_shading=True), 3)
    shading = material.sample_shading(cameras_around(50), 5000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(shading.ambient + shading.diffuse, torch.ones(50, 3))
    assert float(shading.diffuse.std()) > 0.1


def test_lights_brighter_than_white_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^diffuse_color: "):
        PointLightDiffuseConfig(ambient_color=(0.5, 0.5, 0.5), diffuse_color=(0.9, 0.9, 0.9))
    with pytest.raises(ValueError, match=r"^light_distance: "):
        PointLightDiffuseConfig(light_distance=(1.5, 0.8))


@pytest.mark.parametrize("light_sampling", ["dreamfusion", "magic3d"])
def test_a_group_shares_noise_and_distance_and_each_view_has_its_own_direction(light_sampling: str) -> None:
    material = PointLightDiffuse(PointLightDiffuseConfig(light_sampling=light_sampling, soft_shading=True), 3)
    cameras = replace(cameras_around(8), views_per_group=4)
    light = material.sample_shading(cameras, 0, torch.Generator().manual_seed(0)).light
    generator = torch.Generator().manual_seed(0)
    torch.rand(2, generator=generator)
    distance = 0.8 + 0.7 * torch.rand(2, 1, generator=generator).repeat_interleave(4, dim=0)
    torch.rand(2, 1, generator=generator)
    if light_sampling == "magic3d":
        expected = light_in_cone(cameras.position, *torch.rand(2, 2, generator=generator).repeat_interleave(4, dim=1))
    else:
        noise = torch.randn(2, 3, generator=generator).repeat_interleave(4, dim=0)
        expected = light_near_camera(cameras.position, noise)
    torch.testing.assert_close(light, distance * expected)
    assert light.round(decimals=4).unique(dim=0).shape[0] == 8, "the direction depends on each camera"
