from dataclasses import replace

import pytest
import torch

from bozzetto.errors import ConfigError
from bozzetto.testing.material import MaterialContract, random_field
from bozzetto.testing.scenes import cameras_around
from bozzetto.types import Shading
from bozzetto_plugins.material.config import PlaneLightDiffuseConfig
from bozzetto_plugins.material.plane_light_diffuse import PlaneLightDiffuse


def modes(config: PlaneLightDiffuseConfig, step: int, count: int = 40) -> list[str]:
    material, generator = PlaneLightDiffuse(config, 3), torch.Generator().manual_seed(0)
    return [material.sample_shading(cameras_around(1), step, generator).mode for _ in range(count)]


class TestPlaneLightDiffuse(MaterialContract):
    def make(self, feature_count: int = 3) -> PlaneLightDiffuse:
        config = PlaneLightDiffuseConfig(normal_until_step=1, albedo_until_step=400, albedo_probability=0.3)
        return PlaneLightDiffuse(config, feature_count)


class TestLitForPeople(TestPlaneLightDiffuse):
    def make(self, feature_count: int = 3) -> PlaneLightDiffuse:
        return PlaneLightDiffuse(PlaneLightDiffuseConfig(eval_mode="lambertian"), feature_count)


def test_the_schedule_of_modes() -> None:
    config = PlaneLightDiffuseConfig(normal_until_step=10, albedo_until_step=20)
    assert set(modes(config, 9)) == {"normal"}
    assert set(modes(config, 10)) == set(modes(config, 19)) == {"albedo"}
    assert set(modes(config, 20)) == {"lambertian", "textureless"}


def test_the_shares_of_modes() -> None:
    drawn = modes(PlaneLightDiffuseConfig(albedo_probability=0.5, textureless_probability=0.2), 0, count=500)
    assert abs(drawn.count("albedo") / 500 - 0.5) < 0.07
    assert abs(drawn.count("textureless") / 500 - 0.1) < 0.05


def test_light_is_unit_and_near_the_camera_and_ambient_in_range() -> None:
    material, cameras = PlaneLightDiffuse(PlaneLightDiffuseConfig(min_ambient=0.4), 3), cameras_around(500)
    shading = material.sample_shading(cameras, 0, torch.Generator().manual_seed(0))
    torch.testing.assert_close(shading.light.norm(dim=-1), torch.ones(500))
    toward_camera = torch.nn.functional.normalize(cameras.position, dim=-1)
    assert float((shading.light * toward_camera).sum(dim=-1).mean()) > 0.7
    assert 0.4 <= float(shading.ambient.min()) < 0.45 and 0.95 < float(shading.ambient.max()) <= 1.0
    torch.testing.assert_close(shading.ambient + shading.diffuse, torch.ones(500, 3))


def test_the_shaded_color_in_closed_form() -> None:
    material, field = PlaneLightDiffuse(PlaneLightDiffuseConfig(), 3), random_field(4)
    view, points = torch.zeros(4, dtype=torch.long), torch.zeros(4, 3)
    light, ambient = torch.tensor([[0.0, 0.0, 1.0]]), torch.full((1, 3), 0.25)
    lit = 0.25 + 0.75 * field.normal[:, 2:].clamp(min=0.0).expand(4, 3)
    albedo = torch.sigmoid(field.features)
    expected = {
        "albedo": albedo,
        "textureless": lit,
        "lambertian": albedo * lit,
        "normal": 0.5 * (field.normal + 1.0),
    }
    for mode, color in expected.items():
        shading = Shading(mode, light, ambient, 1.0 - ambient)
        torch.testing.assert_close(material(field, points, view, shading), color)


def test_too_few_features_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match="needs at least 3, but the geometry gives 1"):
        PlaneLightDiffuse(PlaneLightDiffuseConfig(), 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("min_ambient", 1.5), ("textureless_probability", -0.1), ("albedo_until_step", -1), ("light_perturbation", -1.0)],
)
def test_a_wrong_setting_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        PlaneLightDiffuseConfig(**{field: value})


def test_a_group_shares_ambient_and_noise_and_each_view_has_its_own_direction() -> None:
    material, cameras = PlaneLightDiffuse(PlaneLightDiffuseConfig(), 3), replace(cameras_around(8), views_per_group=4)
    shading = material.sample_shading(cameras, 0, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    torch.rand(2, generator=generator)
    ambient = 0.1 + 0.9 * torch.rand(2, 1, generator=generator).repeat_interleave(4, dim=0)
    noise = torch.randn(2, 3, generator=generator).repeat_interleave(4, dim=0)
    torch.testing.assert_close(shading.ambient, ambient.expand(8, 3))
    torch.testing.assert_close(shading.light, torch.nn.functional.normalize(cameras.position + noise, dim=-1))
