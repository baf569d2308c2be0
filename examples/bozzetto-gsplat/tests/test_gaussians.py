"""Tests of `gaussians`: the contract of a geometry, and a density that agrees with the splats."""

from __future__ import annotations

import math

import pytest
import torch
from bozzetto.testing.geometry import GeometryContract

from bozzetto_gsplat.cloud import MadeOfGaussians
from bozzetto_gsplat.config import GaussiansConfig, SplattingConfig
from bozzetto_gsplat.gaussians import Gaussians

TWO_STEPS = {"densify_every": 2, "densify_from_step": 0, "densify_until_step": 9, "split_above": 0.305}
"""Densification that splits some of the Gaussians of the contract's test and clones others."""


class TestGaussians(GeometryContract):
    def make(self) -> Gaussians:
        return Gaussians(GaussiansConfig(count=200, size=0.3, opacity=0.3, **TWO_STEPS))

    adapts_after = 2


def one_gaussian(size: float = 0.1, opacity: float = 0.6) -> Gaussians:
    """Return an isotropic Gaussian at the origin, and an invisible second one."""
    geometry = Gaussians(GaussiansConfig(count=2, size=size))
    with torch.no_grad():
        geometry.position.zero_()
        geometry.log_scale.fill_(math.log(size))
        geometry.opacity_logit.copy_(torch.logit(torch.tensor([opacity, 1e-9])))
    return geometry


def test_it_says_that_it_is_made_of_gaussians() -> None:
    assert isinstance(one_gaussian(), MadeOfGaussians)


@pytest.mark.parametrize("opacity", [0.1, 0.6, 0.99])
def test_a_ray_through_the_middle_is_absorbed_as_much_as_the_splat_covers(opacity: float) -> None:
    geometry = one_gaussian(size=0.1, opacity=opacity)
    along = torch.linspace(-1.0, 1.0, 2001)
    density = geometry.density(torch.stack([along, 0.0 * along, 0.0 * along], dim=-1))
    absorbed = 1.0 - torch.exp(-torch.trapezoid(density, along))
    torch.testing.assert_close(absorbed, torch.tensor(opacity), atol=1e-4, rtol=1e-4)


def test_a_stretched_gaussian_has_its_density_where_its_axes_point() -> None:
    geometry = one_gaussian()
    quarter = math.sqrt(0.5)
    with torch.no_grad():
        geometry.log_scale[0] = torch.tensor([0.3, 0.05, 0.05]).log()
        geometry.quaternion[0] = torch.tensor([quarter, 0.0, 0.0, quarter])  # a quarter turn about z maps x to y
    along_y, along_x = geometry.density(torch.tensor([[0.0, 0.3, 0.0], [0.3, 0.0, 0.0]]))
    middle = geometry.density(torch.zeros(1, 3))[0]
    torch.testing.assert_close(along_y / middle, torch.tensor(math.exp(-0.5)), atol=1e-5, rtol=1e-5)
    assert float(along_x.detach()) < 1e-6 * float(middle.detach())


def test_many_points_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    geometry, points = Gaussians(GaussiansConfig(count=20, size=0.3)), torch.rand(50, 3)
    whole = geometry(points)
    monkeypatch.setattr("bozzetto_gsplat.gaussians.PAIRS_AT_ONCE", 60)
    parts = geometry(points)
    torch.testing.assert_close(parts.density, whole.density)
    torch.testing.assert_close(parts.features, whole.features)


class TestRelocation:
    def dead_and_alive(self) -> Gaussians:
        """Return two visible Gaussians and six invisible ones."""
        torch.manual_seed(0)
        geometry = Gaussians(GaussiansConfig(count=8, size=0.01))
        with torch.no_grad():
            geometry.position.copy_(torch.linspace(-0.7, 0.7, 8)[:, None].expand(8, 3))
            geometry.opacity_logit.fill_(-9.0)
            geometry.opacity_logit[2:4] = torch.logit(torch.tensor([0.9, 0.5]))
        return geometry

    def test_the_dead_come_to_life_where_the_living_are(self) -> None:
        geometry = self.dead_and_alive()
        before = geometry.cloud().position[2:4].clone()
        assert geometry.relocate(0.005, torch.Generator().manual_seed(0)) == 6
        cloud = geometry.cloud()
        assert bool((cloud.opacity > 0.05).all())
        assert bool((torch.cdist(cloud.position, before).amin(dim=1) < 0.1).all())

    def test_together_they_hide_as_much_as_the_one_did(self) -> None:
        geometry = self.dead_and_alive()
        before = geometry.cloud()
        geometry.relocate(0.005, torch.Generator().manual_seed(0))
        after = geometry.cloud()
        parent = torch.cdist(after.position, before.position[2:4]).argmin(dim=1)
        for index in (0, 1):
            passed = (1.0 - after.opacity[parent == index]).prod()
            torch.testing.assert_close(1.0 - passed, before.opacity[2 + index], atol=1e-4, rtol=1e-4)

    def test_the_generator_decides(self) -> None:
        first, again = self.dead_and_alive(), self.dead_and_alive()
        for geometry in (first, again):
            geometry.relocate(0.005, torch.Generator().manual_seed(3))
        assert torch.equal(first.position, again.position)

    def test_nothing_moves_if_all_or_none_are_dead(self) -> None:
        for dead_below in (0.0, 0.999):
            geometry = self.dead_and_alive()
            before = geometry.position.clone()
            assert geometry.relocate(dead_below, torch.Generator().manual_seed(0)) == 0
            assert torch.equal(geometry.position, before)

    def test_what_left_the_cube_is_dead(self) -> None:
        geometry = self.dead_and_alive()
        with torch.no_grad():
            geometry.opacity_logit.fill_(2.0)
            geometry.position[0] = 1.5
        assert float(geometry.cloud().opacity[0].detach()) == 0.0
        assert geometry.relocate(0.005, torch.Generator().manual_seed(0)) == 1
        assert float(geometry.cloud().opacity[0].detach()) > 0.1


@pytest.mark.parametrize(
    ("config", "values", "field"),
    [
        (GaussiansConfig, {"count": 1}, "count"),
        (GaussiansConfig, {"opacity": 1.0}, "opacity"),
        (GaussiansConfig, {"size": 0.0}, "size"),
        (SplattingConfig, {"relocate_every": -1}, "relocate_every"),
        (SplattingConfig, {"dead_below": 1.0}, "dead_below"),
    ],
)
def test_errors_name_the_field(config: type, values: dict[str, float], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        config(**values)
