"""Tests of DMTet and the mesh renderer, fitted to images of known objects from a sphere."""

import pytest
import torch

from bozzetto.testing.mesh_fitting import (
    LARGEST_CHAMFER,
    OBJECTS,
    FittingSettings,
    cameras_on_sphere,
    chair,
    chamfer_distance,
    draw,
    fit,
)
from bozzetto.testing.mesh_geometry import signed_volume
from bozzetto.types import TriangleMesh
from bozzetto_plugins.geometry.dmtet import Dmtet
from bozzetto_plugins.geometry.surface_config import DmtetConfig, SurfaceFeaturesConfig
from bozzetto_plugins.renderer.config import MeshConfig
from bozzetto_plugins.renderer.mesh import Mesh

UNSEEN = SurfaceFeaturesConfig(levels=1, log2_table_size=4, finest_resolution=16, hidden_width=4)


def fitted(name, resolution, **settings):
    geometry = Dmtet(DmtetConfig(resolution=resolution, start_radius=0.75, features=UNSEEN))
    return fit(geometry, Mesh(MeshConfig(), 1.0), OBJECTS[name](), FittingSettings(samples=5000, **settings))


def test_a_blob_is_found_at_small_size():
    assert fitted("blob", 16, size=32, views=12, steps=40, lr=0.2).chamfer < LARGEST_CHAMFER["blob"]


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_found(name):
    assert fitted(name, 32, size=64, steps=120, lr=0.2).chamfer < LARGEST_CHAMFER[name]


def test_an_object_is_at_no_distance_from_itself():
    target = chair()
    assert chamfer_distance(target, target, 5000, seed=0) < 0.01
    larger = TriangleMesh(1.2 * target.vertices, target.faces)
    assert chamfer_distance(larger, target, 5000, seed=0) > 0.02
    assert signed_volume(target) > 0


def test_pictures_show_mask_distance_and_normal():
    picture = draw(OBJECTS["blob"](), cameras_on_sphere(2, 33), radius=1.0)
    assert picture.shape == (2, 33, 33, 5)
    middle = picture[:, 16, 16]
    torch.testing.assert_close(middle[:, 0], torch.ones(2))
    assert ((middle[:, 1] > 2.4) & (middle[:, 1] < 2.95)).all()
    torch.testing.assert_close(middle[:, 2:].norm(dim=1), torch.ones(2))
    assert picture[:, 0, 0].count_nonzero() == 0
