"""Tests of `voxels`: the contract of a geometry, and its interpolation."""

import pytest
import torch
from bozzetto.testing.geometry import GeometryContract

from bozzetto_voxels.config import VoxelsConfig
from bozzetto_voxels.voxels import Voxels


class TestVoxels(GeometryContract):
    def make(self) -> Voxels:
        return Voxels(VoxelsConfig(resolution=8))


def linear_in_space(config: VoxelsConfig) -> tuple[Voxels, torch.Tensor]:
    """Return a field whose first feature is x + 2 y + 4 z at every voxel (indices from 0), and points inside it."""
    geometry = Voxels(config)
    side = torch.arange(config.resolution, dtype=torch.float32)
    z, y, x = torch.meshgrid(side, side, side, indexing="ij")
    with torch.no_grad():
        geometry.grid[: config.resolution**3, 1] = (x + 2.0 * y + 4.0 * z).flatten()
    points = (torch.rand(64, 3, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0) * config.radius
    return geometry, points


@pytest.mark.parametrize("resolution", [4, 7, 16])
def test_a_linear_field_stays_linear_up_to_the_faces_of_the_cube(resolution: int) -> None:
    config = VoxelsConfig(resolution=resolution, radius=1.5)
    geometry, points = linear_in_space(config)
    points = torch.cat([points, torch.tensor([[-1.5, -1.5, -1.5], [1.5, 1.5, 1.5]])])
    from_first = (points + config.radius) / geometry.voxel + 0.5
    expected = from_first @ torch.tensor([1.0, 2.0, 4.0])
    torch.testing.assert_close(geometry(points).features[:, 0], expected, atol=1e-3, rtol=1e-4)


def test_total_variation_of_a_linear_field_is_the_mean_of_its_squared_slopes() -> None:
    config = VoxelsConfig(resolution=6)
    geometry, _ = linear_in_space(config)
    with torch.no_grad():
        geometry.grid[:, 2:] = 0.0
    # Slopes 1, 2, 4 along the axes, in one of four channels.
    torch.testing.assert_close(geometry.total_variation(), torch.tensor((1.0 + 4.0 + 16.0) / 3.0 / 4.0))


def test_a_new_scene_is_the_cone_of_magic3d() -> None:
    geometry = Voxels(VoxelsConfig(resolution=8, radius=2.0, blob_scale=10.0, blob_std=0.5))
    density = geometry.density(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    torch.testing.assert_close(density, torch.nn.functional.softplus(torch.tensor([10.0, 0.0])), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("values", "field"),
    [({"resolution": 3}, "resolution"), ({"resolution": 257}, "resolution"), ({"radius": 0.0}, "radius")],
)
def test_errors_name_the_field(values: dict[str, float], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        VoxelsConfig(**values)
