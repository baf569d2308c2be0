"""Contract tests of a material: subclass `MaterialContract`, define `make`, run with pytest."""

from __future__ import annotations

import pytest
import torch

from bozzetto.errors import UserError
from bozzetto.kinds.material import Material
from bozzetto.testing.checks import (
    as_module,
    assert_close_in_half,
    assert_declared_parameters_are_the_real_ones,
    assert_devices_are_taken_from_inputs,
    assert_every_parameter_learns,
    assert_survives_saving,
    half_precision,
)
from bozzetto.testing.scenes import cameras_around, shading_alone, view_alone
from bozzetto.types import Cameras, FieldOutput, Shading

__all__ = ["MaterialContract", "random_field", "rows"]


def random_field(count: int, features: int = 3, normals: bool = True) -> FieldOutput:
    """Return features and unit normals at `count` points, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    raw = torch.randn(count, features, generator=generator, requires_grad=True)
    return FieldOutput(raw, density=torch.ones(count), normal=normal if normals else None)


def rows(field: FieldOutput, chosen: torch.Tensor) -> FieldOutput:
    """Return selected points of a field."""
    density, normal = (None if value is None else value[chosen] for value in (field.density, field.normal))
    return FieldOutput(field.features[chosen], density=density, normal=normal)


class MaterialContract:
    """Tests of colour ranges, light per view, and randomness from the generator only."""

    steps = (0, 1, 500, 20000)
    """Steps at which shading is sampled; cover every phase of the material's schedule."""
    works_in_half = True
    """Set to False if half-precision matrix products change the result too much."""

    def make(self, feature_count: int = 3) -> Material:
        """Return a material to test."""
        raise AssertionError(f"{type(self).__name__} must define make(feature_count)")

    def _shadings(self) -> list[Shading]:
        """Return shadings of two views: for evaluation, and many samples for training."""
        material, cameras = self.make(), cameras_around(2)
        drawn = [
            material.sample_shading(cameras, step, torch.Generator().manual_seed(seed))
            for step in self.steps
            for seed in range(8)
        ]
        return [material.eval_shading(cameras), *drawn]

    @pytest.mark.parametrize("feature_count", [3, 5])
    def test_the_config_declares_the_parameters(self, feature_count: int) -> None:
        assert_declared_parameters_are_the_real_ones(as_module(self.make(feature_count)), feature_count)

    def test_colors_are_in_range_under_every_shading(self) -> None:
        material, field = self.make(), random_field(32)
        points, view = torch.rand(32, 3) - 0.5, torch.arange(32) % 2
        for shading in self._shadings():
            color = material(field, points, view, shading)
            assert color.shape == (32, 3)
            assert bool(((color >= 0.0) & (color <= 1.0 + 1e-6)).all()), shading.mode

    def test_light_has_a_row_for_each_view(self) -> None:
        for shading in self._shadings():
            assert shading.light.shape == shading.ambient.shape == shading.diffuse.shape == (2, 3)

    def test_each_point_is_lit_by_its_own_view(self) -> None:
        material, field, points = self.make(), random_field(16), torch.rand(16, 3) - 0.5
        for shading in self._shadings():
            for index in (0, 1):
                view = torch.full((16,), index)
                alone = material(field, points, torch.zeros_like(view), shading_alone(shading, index))
                torch.testing.assert_close(material(field, points, view, shading), alone)

    def test_the_generator_decides_everything(self) -> None:
        material, cameras, before = self.make(), cameras_around(2), torch.random.get_rng_state()
        for step in self.steps:
            one, two = (material.sample_shading(cameras, step, torch.Generator().manual_seed(3)) for _ in range(2))
            assert one.mode == two.mode
            assert torch.equal(one.light, two.light) and torch.equal(one.ambient, two.ambient)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_a_group_of_views_is_lit_alike(self) -> None:
        """Two groups of two cameras at the same place: their light differs between groups at most."""
        material, one = self.make(), cameras_around(1)
        cameras = Cameras(one.c2w.expand(4, 4, 4), one.fov_y_rad.expand(4), one.height, one.width, views_per_group=2)
        for step in self.steps:
            for seed in range(4):
                shading = material.sample_shading(cameras, step, torch.Generator().manual_seed(seed))
                for light in (shading.light, shading.ambient, shading.diffuse):
                    assert torch.equal(light[0::2], light[1::2]), "use bozzetto.math.view_draws.draw_groups"

    def test_pictures_for_people_are_lit_alike_alone_and_in_a_batch(self) -> None:
        material, cameras = self.make(), cameras_around(2)
        batch, alone = material.eval_shading(cameras), material.eval_shading(view_alone(cameras, 1))
        assert batch.mode == alone.mode
        torch.testing.assert_close(batch.light[1:], alone.light)

    def test_albedo_is_in_range_and_learns(self) -> None:
        features = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
        albedo = self.make().albedo(features)
        assert albedo.shape == (8, 3)
        assert bool(((albedo >= 0.0) & (albedo <= 1.0)).all())
        albedo.sum().backward()
        assert features.grad is not None and bool((features.grad != 0.0).any())

    def test_every_parameter_learns(self) -> None:
        for feature_count in (3, 5):
            material = self.make(feature_count)
            rising = torch.linspace(0.1, 1.0, 8 * 3).view(8, 3)
            (material.albedo(random_field(8, feature_count).features) * rising).sum().backward()
            assert_every_parameter_learns(as_module(material))

    def test_chunks_equal_the_whole(self) -> None:
        material, field, points = self.make(), random_field(16), random_field(16).features.detach()
        view = torch.arange(16) % 2
        for shading in self._shadings():
            whole = material(field, points, view, shading)
            parts = [
                material(rows(field, part), points[part], view[part], shading) for part in torch.arange(16).split(5)
            ]
            torch.testing.assert_close(torch.cat(parts), whole)

    def test_the_state_survives_saving(self) -> None:
        assert_survives_saving(as_module(self.make()), as_module(self.make()))

    def test_devices_are_taken_from_the_inputs(self) -> None:
        material, field, cameras = self.make(), random_field(16), cameras_around(2)
        points, view = field.features.detach(), torch.arange(16) % 2
        generators = [torch.Generator().manual_seed(seed) for seed in range(8)]

        def use() -> list[object]:
            drawn = [material.sample_shading(cameras, step, g) for step in self.steps for g in generators]
            shadings = [material.eval_shading(cameras), *drawn]
            return [*shadings, *(material(field, points, view, shading) for shading in shadings)]

        assert_devices_are_taken_from_inputs(use)

    def test_half_precision_gives_nearly_the_same(self) -> None:
        if not self.works_in_half:
            pytest.skip("does not work in half precision")
        material, features = self.make(), random_field(16).features
        full = material.albedo(features)
        with half_precision():
            assert_close_in_half(material.albedo(features), full)

    def test_no_points_are_no_trouble(self) -> None:
        material, field = self.make(), random_field(0)
        for shading in self._shadings():
            assert material(field, torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), shading).shape == (0, 3)

    def test_a_missing_normal_is_an_error_with_a_cure(self) -> None:
        material, field = self.make(), random_field(4, normals=False)
        for shading in self._shadings():
            if shading.needs_normal:
                with pytest.raises(UserError, match="normal"):
                    material(field, torch.zeros(4, 3), torch.zeros(4, dtype=torch.long), shading)
