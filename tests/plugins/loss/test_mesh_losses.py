"""Tests of the surface losses."""

import dataclasses

import pytest
import torch

from bozzetto.errors import ConfigError
from bozzetto.testing.loss import LossContract
from bozzetto.testing.mesh_loss import MeshLossContract
from bozzetto.testing.mesh_scenes import BallMesh
from bozzetto.testing.scenes import cameras_around
from bozzetto.types import FieldOutput
from bozzetto_plugins.loss.config import EdgeLengthConfig, EikonalConfig, NormalConsistencyConfig
from bozzetto_plugins.loss.edge_length import EdgeLength
from bozzetto_plugins.loss.eikonal import Eikonal
from bozzetto_plugins.loss.normal_consistency import NormalConsistency


def value(loss, geometry=None):
    return float(loss(MeshLossContract().inputs(cameras_around(1), geometry)).detach())


def test_finer_balls_are_flatter_from_triangle_to_triangle():
    loss = NormalConsistency(NormalConsistencyConfig())
    assert value(loss, BallMesh(subdivisions=2)) < 0.3 * value(loss, BallMesh(subdivisions=1))


def test_edges_are_measured_in_radii_of_the_scene():
    loss = EdgeLength(EdgeLengthConfig())
    small, large = BallMesh(radius=1.0, sphere_radius=0.5), BallMesh(radius=4.0, sphere_radius=2.0)
    assert value(loss, small) == pytest.approx(value(loss, large), rel=1e-5)


def test_a_distance_costs_nothing_and_twice_a_distance_costs_one():
    class Doubled(BallMesh):
        def forward(self, points, normal=False):
            field = super().forward(points, normal)
            return dataclasses.replace(field, sdf=2.0 * field.sdf)

    loss = Eikonal(EikonalConfig(points=64))
    assert value(loss) == pytest.approx(0.0, abs=1e-6)
    assert value(loss, Doubled()) == pytest.approx(1.0, rel=1e-4)


def test_points_far_from_the_surface_can_be_left_out():
    class Bent(BallMesh):
        def forward(self, points, normal=False):
            sdf = points.norm(dim=-1) - 0.5
            return FieldOutput(self.surface_features(points), sdf=torch.where(sdf > 0.1, 5.0 * sdf, sdf))

    assert value(Eikonal(EikonalConfig(points=512, within=0.1)), Bent()) == pytest.approx(0.0, abs=1e-6)
    assert value(Eikonal(EikonalConfig(points=512)), Bent()) > 1.0


def test_eikonal_needs_signed_distances():
    with pytest.raises(ConfigError, match="loss eikonal reads signed distances, and geometry SoftSphere gives none"):
        Eikonal(EikonalConfig())(LossContract().inputs(cameras_around(1)))


def test_the_config_checks_itself():
    with pytest.raises(ValueError, match="points: must lie in"):
        EikonalConfig(points=0)
    with pytest.raises(ValueError, match="within: must lie in"):
        EikonalConfig(within=0.0)
