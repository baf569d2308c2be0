"""Tests of the geometry `mesh`, and of reading files."""

import numpy as np
import pytest
import torch
import trimesh

from bozzetto.errors import ConfigError
from bozzetto.testing.mesh_geometry import MeshGeometryContract
from bozzetto_plugins.geometry.mesh import Mesh
from bozzetto_plugins.geometry.mesh_file import read_asset
from bozzetto_plugins.geometry.mesh_readers.placed import to_world
from bozzetto_plugins.geometry.surface_config import AssetConfig, MeshConfig, SurfaceFeaturesConfig

SMALL = SurfaceFeaturesConfig(levels=2, log2_table_size=8, finest_resolution=32, hidden_width=8)


@pytest.fixture
def wedge(tmp_path):
    """Return a box of 2 by 1 by 4, off the origin, with a marker at the end of each file axis."""
    path = tmp_path / "wedge.ply"
    box = trimesh.creation.box(extents=(2.0, 1.0, 4.0))
    box.apply_translation((5.0, 6.0, 7.0))
    box.export(path)
    return path


class TestMeshContract(MeshGeometryContract):
    shape_is_learned = False

    @pytest.fixture(autouse=True)
    def _file(self, wedge):
        self.path = str(wedge)

    def make(self):
        return Mesh(MeshConfig(asset=AssetConfig(path=self.path), features=SMALL))


def test_a_file_is_centred_scaled_and_turned(wedge):
    mesh = read_asset(AssetConfig(path=str(wedge), up="+y", front="+z", extent=0.5), radius=2.0).mesh
    size = mesh.vertices.amax(0) - mesh.vertices.amin(0)
    # File x, y, z of 2, 1, 4 become right-hand world: front (z) -> x, right (x) -> y, up (y) -> z.
    torch.testing.assert_close(size, torch.tensor([2.0, 1.0, 0.5]))
    torch.testing.assert_close(mesh.vertices.amax(0), -mesh.vertices.amin(0))


def test_without_a_file_it_is_a_chair():
    mesh = read_asset(AssetConfig(), radius=1.0).mesh
    assert mesh.faces.shape == (6 * 12, 3)
    reach = mesh.vertices.abs().amax(0)
    torch.testing.assert_close(reach[2], torch.tensor(0.7))  # its height is its longest side
    back = mesh.vertices[mesh.vertices[:, 2] > 0.6]
    assert (back[:, 0] < 0).all()  # the front is +x


def test_world_units_are_kept_with_extent_zero(wedge):
    mesh = read_asset(AssetConfig(path=str(wedge), up="+z", front="+x", extent=0.0), radius=10.0).mesh
    torch.testing.assert_close(mesh.vertices.mean(0), torch.tensor([5.0, 6.0, 7.0]))
    with pytest.raises(ConfigError, match="out of the scene's cube of radius 1"):
        read_asset(AssetConfig(path=str(wedge), up="+z", front="+x", extent=0.0), radius=1.0)


@pytest.mark.parametrize("up, front", [("+y", "+z"), ("+z", "+x"), ("-x", "+y"), ("+z", "-y")])
def test_turning_is_a_rotation(up, front):
    turn = to_world(up, front)
    assert np.linalg.det(turn) == pytest.approx(1.0) and np.allclose(turn @ turn.T, np.eye(3))
    axis = {f"{sign}{letter}": int(f"{sign}1") * np.eye(3)[i] for i, letter in enumerate("xyz") for sign in "+-"}
    assert np.allclose(turn @ axis[up], [0, 0, 1]) and np.allclose(turn @ axis[front], [1, 0, 0])


def test_a_missing_or_broken_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="There is no mesh file"):
        read_asset(AssetConfig(path=str(tmp_path / "none.obj")), 1.0)
    (tmp_path / "broken.glb").write_bytes(b"not a glb")
    with pytest.raises(ConfigError, match="cannot be read as a mesh"):
        read_asset(AssetConfig(path=str(tmp_path / "broken.glb")), 1.0)
    (tmp_path / "points.obj").write_text("v 0 0 0\nv 1 0 0\n")
    with pytest.raises(ConfigError, match="has no triangles"):
        read_asset(AssetConfig(path=str(tmp_path / "points.obj")), 1.0)


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"ball.{suffix}"
    trimesh.creation.icosphere(subdivisions=1).export(path)
    mesh = read_asset(AssetConfig(path=str(path), extent=0.8), radius=1.0).mesh
    assert mesh.vertices.shape == (42, 3) and mesh.faces.shape == (80, 3)
    torch.testing.assert_close(mesh.vertices.norm(dim=1), torch.full((42,), 0.8), atol=2e-2, rtol=0)


def test_configs_check_themselves():
    with pytest.raises(ValueError, match="radius: must lie in"):
        MeshConfig(radius=0.0)
    with pytest.raises(ValueError, match="front: must be perpendicular"):
        AssetConfig(up="+y", front="-y")
    with pytest.raises(ValueError, match="extent: must lie"):
        AssetConfig(extent=2.0)
