import pytest
import torch

from bozzetto.errors import ConfigError
from bozzetto.testing.scenes import PlainBackground, PlainMaterial, SoftSphere, cameras_around
from bozzetto_plugins.renderer.config import VolumeConfig
from bozzetto_plugins.renderer.occupancy import OccupancyGrid
from bozzetto_plugins.renderer.volume import PATIENCE, Volume


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


class Asked(SoftSphere):
    """Geometry that records how many points it receives."""

    asked = 0

    def density(self, points):
        self.asked += len(points)
        return super().density(points)


def test_everything_is_occupied_until_the_first_update() -> None:
    assert bool(OccupancyGrid(4, 1.0, 1.0, 0.95).occupied.all())


def test_cells_are_indexed_x_y_z() -> None:
    class Slab(SoftSphere):
        def density(self, points):
            return 10.0 * ((points[:, 0] > 0.5) & (points[:, 1] < -0.5)).float()

    grid = OccupancyGrid(4, 1.0, 1.0, 0.95)
    grid.update(Slab(), generator())
    expected = torch.zeros(4, 4, 4, dtype=torch.bool)
    expected[3, 0, :] = True
    assert torch.equal(grid.occupied, expected)


def test_the_ball_is_found() -> None:
    grid = OccupancyGrid(16, 1.0, 1.0, 0.95)
    grid.update(SoftSphere(), generator())
    axis = (torch.arange(16) + 0.5) / 8.0 - 1.0
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).norm(dim=-1)
    half_diagonal = 3.0**0.5 / 16.0
    assert bool(grid.occupied[distance < 0.5 - half_diagonal].all())
    assert not bool(grid.occupied[distance > 0.5 + half_diagonal + 0.05].any())


def test_a_cell_that_empties_is_forgotten_slowly_and_one_that_fills_is_seen_at_once() -> None:
    grid, middle = OccupancyGrid(8, 1.0, 1.0, 0.5), (4, 4, 4)
    for density, known in ((8.0, 8.0), (1e-6, 4.0), (1e-6, 2.0), (200.0, 200.0), (1e-6, 100.0)):
        grid.update(SoftSphere(density=density), generator())
        torch.testing.assert_close(grid.density[middle], torch.tensor(known))
        assert bool(grid.occupied[middle])
    for _ in range(8):
        grid.update(SoftSphere(density=1e-6), generator())
    assert float(grid.density[middle]) < 1.0


def test_the_threshold_is_at_most_the_mean() -> None:
    """A scene much thinner than the threshold is still visible where it is densest."""
    grid = OccupancyGrid(8, 1.0, 1000.0, 0.95)
    grid.update(SoftSphere(density=1.0), generator())
    assert 0 < int(grid.occupied.sum()) < 8**3


class Fog(SoftSphere):
    """Geometry of uniform density."""

    def __init__(self, thickness: float) -> None:
        super().__init__()
        self.thickness = thickness

    def density(self, points):
        return torch.full((len(points),), self.thickness)


def test_a_fog_that_no_cell_stands_out_of_is_taken_as_full() -> None:
    grid = OccupancyGrid(4, 1.0, 1.0, 0.95)
    assert not grid.update(Fog(0.01), generator())
    assert bool(grid.occupied.all())


@pytest.mark.parametrize("thickness", [0.0, 1e-5])
def test_of_a_scene_that_has_vanished_an_eighth_is_looked_at_each_time_another(thickness: float) -> None:
    grid = OccupancyGrid(4, 1.0, 1.0, 0.95)
    seen = torch.zeros(4, 4, 4, dtype=torch.long)
    for turn in range(8):
        assert grid.update(Fog(thickness), generator(), turn)
        assert int(grid.occupied.sum()) == 8
        seen += grid.occupied
    assert bool((seen == 1).all())


def test_a_vanished_scene_is_told_once_costs_little_and_can_come_back(caplog: pytest.LogCaptureFixture) -> None:
    renderer = Volume(VolumeConfig(samples_per_ray=64, occupancy_resolution=8, update_every=2), 1.0)
    cameras, material = cameras_around(1, 16), PlainMaterial()
    shading = material.eval_shading(cameras)

    def samples(scene: SoftSphere) -> int:
        view = renderer(cameras, scene, material, PlainBackground(), shading, generator=generator())
        return len(view.volume.samples)

    full = samples(SoftSphere())  # before the first update every cell is occupied
    for step in range(8):
        renderer.update(Fog(0.0), step, generator())
    assert samples(SoftSphere()) < 0.2 * full
    (notice,) = caplog.messages
    assert "vanished at step 0" in notice and "sparsity" in notice and "lr" in notice
    renderer.update(SoftSphere(), 8, generator())
    assert 0 < samples(SoftSphere()) < full


def test_a_scene_that_stays_vanished_is_an_error_with_a_cure_and_one_that_came_back_is_given_its_time_again() -> None:
    renderer = Volume(VolumeConfig(occupancy_resolution=4, occupancy_decay=0.0, update_every=2), 1.0)
    for step in range(0, 2 * PATIENCE, 2):
        renderer.update(Fog(0.0), step, generator())
    renderer.update(SoftSphere(), 2 * PATIENCE, generator())
    gone = 2 * PATIENCE + 2
    for step in range(gone, gone + 2 * PATIENCE, 2):
        renderer.update(Fog(0.0), step, generator())
    with pytest.raises(ConfigError, match=f"vanished at step {gone}: .*not come back up to step .*density_bias"):
        renderer.update(Fog(0.0), gone + 2 * PATIENCE, generator())


def test_after_the_warm_up_all_cells_are_seen_in_four_turns() -> None:
    grid = OccupancyGrid(8, 1.0, 1.0, 0.95)
    grid.occupied.zero_()
    counts = []
    for turn in range(4):
        ball = Asked(sphere_radius=3.0)
        grid.update(ball, generator(), turn)
        counts.append(ball.asked)
    assert counts == [128, 256, 384, 512]  # a quarter, and all cells found before
    assert bool((grid.density > 0.0).all())


def test_the_renderer_updates_on_time() -> None:
    renderer = Volume(VolumeConfig(occupancy_resolution=8, update_every=4, warm_up_steps=8), 1.0)
    asked = []
    for step in range(13):
        ball = Asked()
        renderer.update(ball, step, generator())
        asked.append(ball.asked)
    assert [step for step, count in enumerate(asked) if count] == [0, 4, 8, 12]
    assert asked[0] == asked[4] == 512 and 128 <= asked[8] < 512


def test_no_gradient_reaches_the_geometry_and_the_grid_is_saved() -> None:
    ball, grid = SoftSphere(), OccupancyGrid(4, 1.0, 1.0, 0.95)
    grid.update(ball, generator())
    assert not grid.density.requires_grad and ball.log_density.grad is None
    assert set(grid.state_dict()) == {"density", "occupied"}


@pytest.mark.parametrize("samples", [64, 512])
def test_the_threshold_is_the_share_of_light_one_step_takes(samples: int) -> None:
    renderer = Volume(VolumeConfig(samples_per_ray=samples, occupancy_threshold=0.01), 2.0)
    absorbed = 1.0 - torch.exp(torch.tensor(-renderer.occupancy.threshold * renderer.step_size))
    assert float(absorbed) == pytest.approx(0.01, rel=1e-4)
