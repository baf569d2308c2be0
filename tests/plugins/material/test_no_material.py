import torch

from bozzetto.testing.material import MaterialContract, random_field
from bozzetto.testing.scenes import cameras_around
from bozzetto_plugins.material.config import NoMaterialConfig
from bozzetto_plugins.material.no_material import NoMaterial


class TestNoMaterial(MaterialContract):
    def make(self, feature_count: int = 3) -> NoMaterial:
        return NoMaterial(NoMaterialConfig(), feature_count)


def test_three_features_are_the_color() -> None:
    features = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    material = NoMaterial(NoMaterialConfig(), 3)
    torch.testing.assert_close(material.albedo(features), torch.sigmoid(features))
    assert list(material.parameters()) == []


def test_other_features_go_through_a_network_that_learns() -> None:
    material, field = NoMaterial(NoMaterialConfig(hidden_width=8), 7), random_field(5, features=7, normals=False)
    shading = material.eval_shading(cameras_around(1))
    material(field, torch.zeros(5, 3), torch.zeros(5, dtype=torch.long), shading).square().sum().backward()
    parameters = list(material.parameters())
    assert parameters and all(parameter.grad.any() for parameter in parameters)
