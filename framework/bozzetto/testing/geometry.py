"""Contract tests of a geometry: subclass `GeometryContract`, define `make`, run with pytest."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import Float
from safetensors.torch import load, save
from torch import Tensor

from bozzetto.kinds.geometry import Adaptive, Geometry, module
from bozzetto.testing.adaptive import assert_adapts_by_contract
from bozzetto.testing.checks import (
    assert_close_in_half,
    assert_declared_parameters_are_the_real_ones,
    assert_devices_are_taken_from_inputs,
    assert_every_parameter_learns,
    half_precision,
)
from bozzetto.types import FieldOutput

__all__ = ["GeometryContract", "assert_same", "normals_of", "weighted_sum"]

LAST_STEP = 10**9
"""Step at which every schedule has reached its end."""

MEAN_COSINE = 0.9
"""Minimum mean cosine between the initial normals and those of a ball."""


class GeometryContract:
    """Tests of `bozzetto.kinds.geometry.Geometry`. Each takes well under a second on a small instance.

    class TestMyField(GeometryContract):
        def make(self) -> Geometry:
            return MyField(MyFieldConfig(width=8))
    """

    gives_normals = True
    """Set to False if the geometry's manifest does not provide `normal`."""
    normals_follow_density = True
    """Set to False if normals have parameters of their own, randomly initialised, without gradient from the density."""
    starts_as_ball = True
    """Set to False if a new instance is not denser toward the origin."""
    works_in_half = True
    """Set to False if half-precision matrix products change the result too much."""
    adapts_after = 1
    """Number of finished steps after which an `Adaptive` geometry changes its rows for the first time."""

    def make(self) -> Geometry:
        """Return a small new instance."""
        raise AssertionError(f"{type(self).__name__} must define make()")

    def built(self, seed: int = 0) -> Geometry:
        """Return an instance with seeded weights and all levels active."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            geometry = self.make()
        geometry.set_step(LAST_STEP)
        return geometry

    def points(self, geometry: Geometry, count: int = 64, reach: float = 0.95) -> Float[Tensor, "S 3"]:
        """Return points in the cube scaled by `reach`, the same at every call."""
        generator = torch.Generator().manual_seed(count)
        return (torch.rand(count, 3, generator=generator) * 2.0 - 1.0) * (reach * geometry.radius)

    def test_is_a_module_that_states_its_size(self) -> None:
        geometry = self.built()
        assert isinstance(geometry, Geometry)
        assert isinstance(module(geometry), torch.nn.Module)
        assert geometry.radius > 0.0
        assert geometry.feature_count >= 1

    def test_the_config_declares_the_parameters(self) -> None:
        assert_declared_parameters_are_the_real_ones(module(self.make()))

    @pytest.mark.parametrize("count", [0, 1, 5])
    def test_shapes(self, count: int) -> None:
        geometry = self.built()
        points = self.points(geometry, count)
        plain = geometry(points)
        assert plain.features.shape == (count, geometry.feature_count)
        assert plain.normal is None
        given = [value for value in (plain.density, plain.sdf) if value is not None]
        assert given, "give a density, an sdf, or both"
        assert all(value.shape == (count,) for value in given)
        assert geometry.density(points).shape == (count,)
        if self.gives_normals:
            assert normals_of(geometry, points).shape == (count, 3)

    def test_density_is_finite_and_at_least_zero(self) -> None:
        geometry = self.built()
        for reach in (1e-3, 0.95, 3.0, 1e3):
            density = geometry.density(self.points(geometry, reach=reach))
            assert density.isfinite().all()
            assert (density >= 0.0).all()

    def test_density_is_zero_outside_the_cube(self) -> None:
        geometry = self.built()
        points = self.points(geometry)
        points[torch.arange(len(points)), torch.arange(len(points)) % 3] = 1.01 * geometry.radius
        for outside in (points, -points):
            assert geometry.density(outside).count_nonzero() == 0
            whole = geometry(outside)
            assert whole.density is None or whole.density.count_nonzero() == 0

    def test_density_alone_is_that_of_the_whole(self) -> None:
        geometry = self.built()
        points = self.points(geometry)
        for whole in self.outputs(geometry, points):
            if whole.density is not None:
                torch.testing.assert_close(geometry.density(points), whole.density)

    def test_chunks_equal_the_whole(self) -> None:
        geometry = self.built()
        points = self.points(geometry)
        for whole, *parts in zip(
            self.outputs(geometry, points), *(self.outputs(geometry, chunk) for chunk in points.split(7)), strict=True
        ):
            for name in ("density", "sdf", "features", "normal"):
                if (expected := getattr(whole, name)) is not None:
                    torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), expected)

    def test_gradients_reach_every_parameter(self) -> None:
        geometry = self.built()
        self.backward_from_everything(geometry)
        assert_every_parameter_learns(module(geometry))

    def test_locked_parameters_have_a_gradient_too(self) -> None:
        """From the first step on, optimisers and gradient clipping must see the same set of parameters."""
        geometry = self.built()
        geometry.set_step(0)
        self.backward_from_everything(geometry)
        assert [name for name, parameter in module(geometry).named_parameters() if parameter.grad is None] == []

    def test_same_seed_same_geometry(self) -> None:
        first, second, other = self.built(3), self.built(3), self.built(4)
        points = self.points(first)
        assert_same(first(points), second(points))
        assert not torch.equal(first(points).features, other(points).features)

    def test_safetensors_round_trip(self) -> None:
        saved, loaded = self.built(3), self.built(4)
        state = {name: value.contiguous() for name, value in module(saved).state_dict().items()}
        module(loaded).load_state_dict(load(save(state)))
        loaded.set_step(LAST_STEP)
        points = self.points(saved)
        assert_same(saved(points), loaded(points))

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
    def test_without_gradients_the_same_values(self, mode: type) -> None:
        geometry = self.built()
        points = self.points(geometry)
        expected = list(self.outputs(geometry, points))
        with mode():
            found = list(self.outputs(geometry, points.clone()))
        for with_graph, without in zip(expected, found, strict=True):
            assert_same(with_graph, without)
            assert not without.features.requires_grad
            assert without.density is None or not without.density.requires_grad
            assert without.normal is None or not without.normal.requires_grad

    def test_leaves_its_input_alone(self) -> None:
        geometry = self.built()
        points = self.points(geometry)
        before = points.clone()
        for output in self.outputs(geometry, points):
            weighted_sum(output.features).backward()
        assert torch.equal(points, before)
        assert not points.requires_grad
        assert points.grad is None

    def test_normals_have_length_one_or_zero(self) -> None:
        if not self.gives_normals:
            pytest.skip("gives no normals")
        geometry = self.built()
        points = torch.cat([self.points(geometry), torch.zeros(1, 3), self.points(geometry, reach=3.0)])
        normal = normals_of(geometry, points)
        assert normal.isfinite().all()
        length = normal.norm(dim=-1)
        assert (torch.minimum(length, (length - 1.0).abs()) < 1e-3).all()

    def test_normals_point_out_of_the_object(self) -> None:
        if not (self.gives_normals and self.normals_follow_density and self.starts_as_ball):
            pytest.skip("does not start as a ball with normals of its own")
        geometry = self.built()
        outward = torch.nn.functional.normalize(self.points(geometry, 256), dim=-1)
        normal = normals_of(geometry, 0.5 * geometry.radius * outward)
        assert (normal * outward).sum(dim=-1).mean() > MEAN_COSINE

    def test_a_ball_is_denser_inside(self) -> None:
        if not self.starts_as_ball:
            pytest.skip("does not start as a ball")
        geometry = self.built()
        outward = torch.nn.functional.normalize(self.points(geometry), dim=-1)
        inner, outer = (geometry.density(share * geometry.radius * outward) for share in (0.1, 0.9))
        assert inner.mean() > outer.mean()

    def test_a_loss_on_normals_reaches_parameters(self) -> None:
        if not self.gives_normals:
            pytest.skip("gives no normals")
        geometry = self.built()
        weighted_sum(normals_of(geometry, self.points(geometry, 256))).backward()
        gradients = [p.grad for p in module(geometry).parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert any(gradient.count_nonzero() > 0 for gradient in gradients)

    def test_devices_are_taken_from_the_points(self) -> None:
        geometry = self.built()
        points = self.points(geometry)

        def use() -> list[FieldOutput | Tensor]:
            geometry.set_step(LAST_STEP)
            outputs = self.outputs(geometry, points)
            weighted_sum(outputs[-1].features).backward()
            return [*outputs, geometry.density(points), geometry.total_variation()]

        assert_devices_are_taken_from_inputs(use)

    def test_half_precision_gives_nearly_the_same(self) -> None:
        if not self.works_in_half:
            pytest.skip("does not work in half precision")
        geometry = self.built()
        points = self.points(geometry)
        full = geometry(points)
        with half_precision():
            half = geometry(points)
        for name in ("density", "sdf", "features"):
            if (expected := getattr(full, name)) is not None:
                assert_close_in_half(getattr(half, name), expected)

    def test_total_variation_is_a_finite_number(self) -> None:
        geometry = self.built()
        value = geometry.total_variation()
        assert value.shape == ()
        assert value.isfinite()
        assert value >= 0.0

    def test_a_step_changes_no_parameter(self) -> None:
        geometry = self.built()
        before = {name: value.clone() for name, value in module(geometry).state_dict().items()}
        for step in (0, 1, LAST_STEP, 0):
            geometry.set_step(step)
        after = module(geometry).state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_rows_change_by_contract(self) -> None:
        if not isinstance(self.built(), Adaptive):
            pytest.skip("its parameters keep their rows")
        assert_adapts_by_contract(self.built, self.backward_from_everything, self.adapts_after)

    def outputs(self, geometry: Geometry, points: Float[Tensor, "S 3"]) -> list[FieldOutput]:
        """Return the outputs without normals, and with normals if supported."""
        return [geometry(points), *([geometry(points, normal=True)] if self.gives_normals else [])]

    def backward_from_everything(self, geometry: Geometry) -> None:
        """Back-propagate a sum over all outputs that have parameters of their own."""
        normal = self.gives_normals and not self.normals_follow_density
        output = geometry(self.points(geometry, 256), normal=normal)
        given = [output.density, output.sdf, output.features, output.normal]
        torch.stack([weighted_sum(value) for value in given if value is not None]).sum().backward()


def normals_of(geometry: Geometry, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S 3"]:
    """Return the normals at world points of a geometry that provides them."""
    normal = geometry(points, normal=True).normal
    assert normal is not None, "normals were asked for and not given"
    return normal


def weighted_sum(value: Tensor) -> Float[Tensor, ""]:
    """Return a scalar whose gradient differs per entry, so that no symmetry hides a missing one."""
    weights = torch.linspace(-1.0, 2.0, value.numel(), dtype=value.dtype, device=value.device)
    return (value * weights.view(value.shape)).sum()


def assert_same(first: FieldOutput, second: FieldOutput) -> None:
    """Assert equality up to the order of additions."""
    for name in ("density", "sdf", "features", "normal"):
        one, two = getattr(first, name), getattr(second, name)
        assert (one is None) == (two is None), name
        if one is not None:
            torch.testing.assert_close(one, two, msg=f"{name}: {{}}".format)
