"""Tests of DMTet beyond its contract."""

import pytest
import torch
import trimesh

from bozzetto.engine.optimizer import make_optimizer
from bozzetto.math.meshes import adjacent_faces
from bozzetto.math.schedules import Schedule
from bozzetto.math.tetrahedral_grid import TetrahedralGrid
from bozzetto.recipe import OptimizerConfig
from bozzetto.testing.mesh_geometry import signed_volume
from bozzetto_plugins.geometry.dmtet import LARGEST_OFFSET, Dmtet
from bozzetto_plugins.geometry.from_density import tidied
from bozzetto_plugins.geometry.surface_config import AssetConfig, DmtetConfig, SurfaceFeaturesConfig

SMALL = SurfaceFeaturesConfig(levels=2, log2_table_size=8, finest_resolution=32, hidden_width=8)


def dmtet(**fields):
    return Dmtet(DmtetConfig(**{"resolution": 12, "features": SMALL, **fields}))


def test_a_sphere_starts_as_one():
    mesh = dmtet(radius=2.0, start_radius=1.2).extract_mesh()
    assert (mesh.vertices.norm(dim=1) - 1.2).abs().max() < 0.05
    assert signed_volume(mesh) == pytest.approx(4.0 / 3.0 * torch.pi * 1.2**3, rel=0.05)


def test_an_ellipsoid_has_its_axes():
    mesh = dmtet(start="ellipsoid", start_axes=(0.7, 0.5, 0.3)).extract_mesh()
    torch.testing.assert_close(mesh.vertices.detach().amax(0), torch.tensor([0.7, 0.5, 0.3]), atol=0.03, rtol=0)


def test_a_file_is_a_start(tmp_path):
    path = tmp_path / "ring.ply"
    trimesh.creation.torus(major_radius=0.5, minor_radius=0.2).export(path)
    asset = AssetConfig(path=str(path), up="+z", front="+x", extent=0.7)
    mesh = dmtet(resolution=20, start="mesh", start_mesh=asset).extract_mesh()
    expected = 2.0 * torch.pi**2 * 0.5 * 0.2**2
    assert signed_volume(mesh) == pytest.approx(expected, rel=0.1)
    euler = len(mesh.vertices) - len(adjacent_faces(mesh.faces)) + len(mesh.faces)
    assert euler == 0  # one hole


def test_no_offset_turns_a_tetrahedron_over():
    """The worst case of the eight corners of each vertex's box, for one tetrahedron: all others are congruent."""
    grid = TetrahedralGrid(2)
    inside = torch.zeros(grid.vertex_count, dtype=torch.bool)
    inside[grid.corner_count :] = True
    corners = grid.positions(torch.device("cpu")).double()[grid.crossed(inside)[0]]
    push = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.double)] * 12).view(-1, 4, 3)
    moved = corners + LARGEST_OFFSET * grid.cell_size * push
    assert (torch.linalg.det(moved[:, 1:] - moved[:, :1]) > 0).all()


def test_the_surface_stays_closed_whatever_is_learned():
    geometry = dmtet(resolution=6)
    with torch.no_grad():
        geometry.sdf.fill_(-1.0)
    mesh = geometry.extract_mesh()
    assert 2 * len(adjacent_faces(mesh.faces)) == 3 * len(mesh.faces)
    assert mesh.vertices.abs().max() < 1.0


def test_an_empty_surface_is_no_error():
    geometry = dmtet(resolution=6)
    with torch.no_grad():
        geometry.sdf.fill_(1.0)
    assert geometry.extract_mesh().faces.shape == (0, 3)


def test_signed_distances_are_world_units_between_vertices():
    geometry = dmtet(radius=2.0, start_radius=1.0, resolution=16)
    outward = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    for reach in (0.95, 1.0, 1.05):
        assert (geometry(reach * outward).sdf - (reach - 1.0)).abs().max() < 0.02


def test_locked_geometry_trains_features_alone_and_cuts_once():
    geometry = dmtet(lock_geometry=True)
    trained = {name for name, p in geometry.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith("features.") for name in trained)
    mesh = geometry.extract_mesh()
    assert geometry.extract_mesh() is mesh and not mesh.vertices.requires_grad
    geometry.load_state_dict(dmtet(start_radius=0.3).state_dict())
    assert signed_volume(geometry.extract_mesh()) < 0.5 * signed_volume(mesh)


def test_locked_texture_trains_the_shape_alone():
    trained = {name for name, p in dmtet(lock_texture=True).named_parameters() if p.requires_grad}
    assert trained == {"sdf", "offset"}


def test_smoothed_gradients_spread_to_neighbours_and_keep_their_sum():
    rough, smooth = dmtet(smooth_gradient=0), dmtet(smooth_gradient=1)
    for geometry in (rough, smooth):
        geometry.extract_mesh().vertices.square().sum().backward()
    assert (smooth.sdf.grad != 0).sum() > 1.5 * (rough.sdf.grad != 0).sum()
    torch.testing.assert_close(smooth.sdf.grad.sum(), rough.sdf.grad.sum(), rtol=1e-3, atol=1e-3)


def test_parts_have_learning_rates_of_their_own():
    rates = {"geometry.sdf": 0.1, "geometry.offset": 0.2, "geometry.features": 0.3}
    config = OptimizerConfig(lr_of={name: Schedule.constant(lr) for name, lr in rates.items()})
    optimizer = make_optimizer([(f"geometry.{n}", p) for n, p in dmtet().named_parameters()], config)
    assert {group["prefix"]: group["lr"] for group in optimizer.param_groups} == rates


def test_cavities_are_filled_and_crumbs_dropped():
    grid = TetrahedralGrid(12)
    reach = grid.positions(torch.device("cpu")).norm(dim=1)
    shell = (reach < 0.7) & (reach > 0.3)
    assert torch.equal(tidied(shell, grid), reach < 0.7)
    corner = (grid.positions(torch.device("cpu")) - 0.8).norm(dim=1) < 0.1
    assert torch.equal(tidied((reach < 0.5) | corner, grid), reach < 0.5)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"radius": 0.0}, "radius: must lie in"),
        ({"resolution": 3}, "resolution: must lie in"),
        ({"start_radius": 0.99}, "start_radius: must lie in"),
        ({"start_axes": (0.5, 0.0, 0.5)}, "start_axes.*: must lie in"),
        ({"threshold": -1.0}, "threshold: must lie in"),
        ({"smooth_gradient": -1}, "smooth_gradient: must lie in"),
        ({"lock_geometry": True, "lock_texture": True}, "lock_texture: with lock_geometry"),
    ],
)
def test_the_config_checks_itself(fields, message):
    with pytest.raises(ValueError, match=message):
        DmtetConfig(**fields)
