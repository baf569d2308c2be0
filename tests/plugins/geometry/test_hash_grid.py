import dataclasses
import math

import pytest
import torch

from bozzetto.math.schedules import Schedule
from bozzetto.testing.geometry import GeometryContract, assert_same, weighted_sum
from bozzetto_plugins.geometry.config import HashGridConfig
from bozzetto_plugins.geometry.hash_grid import HashGrid

SMALL = HashGridConfig(
    levels=4,
    log2_table_size=10,
    base_resolution=4,
    finest_resolution=32,
    hidden_width=16,
    levels_active=Schedule(2.0, 4.0, start_step=100, until_step=300),
)


def small(**changes: object) -> HashGrid:
    return HashGrid(dataclasses.replace(SMALL, **changes))


def built(seed: int = 0, **changes: object) -> HashGrid:
    """Return a grid with enlarged table entries, as after training: initial ones are too small to have an effect."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        grid = small(**changes)
        with torch.no_grad():
            grid.encoding.uniform_(-1.0, 1.0)
    return grid


def points(count: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) * 1.8 - 0.9


class TestAnalytic(GeometryContract):
    def make(self) -> HashGrid:
        return small()


class TestSmoothstepExpBlob(GeometryContract):
    def make(self) -> HashGrid:
        return small(
            radius=2.0,
            interpolation="smoothstep",
            density_activation="exp",
            density_bias="blob-dreamfusion",
            blob_scale=5.0,
        )


class TestFiniteDifference(GeometryContract):
    def make(self) -> HashGrid:
        return small(normal="finite-difference", hidden_layers=2, feature_count=5)


class TestFourDifferences(GeometryContract):
    def make(self) -> HashGrid:
        return small(normal="finite-difference", finite_difference_samples=4)


class TestPredicted(GeometryContract):
    normals_follow_density = False

    def make(self) -> HashGrid:
        return small(normal="predicted")


class TestBfloat16(GeometryContract):
    def make(self) -> HashGrid:
        return small(compute_dtype="bfloat16")


def test_a_new_grid_is_its_blob():
    grid = small(density_bias="blob-magic3d", blob_scale=10.0, blob_std=0.5)
    at = torch.tensor([[0.0, 0.0, 0.0], [0.25, 0.0, 0.0], [0.0, 0.3, -0.4]])
    expected = torch.nn.functional.softplus(torch.tensor([10.0, 5.0, 0.0]))
    torch.testing.assert_close(grid.density(at), expected, atol=1e-2, rtol=0.0)


def test_without_a_blob_a_new_grid_is_flat():
    density = small(density_bias="none").density(points())
    torch.testing.assert_close(density, torch.full((64,), math.log(2.0)), atol=1e-2, rtol=0.0)


def test_the_table_starts_small():
    table = small().encoding
    assert table.abs().max() <= 1e-4
    assert table.abs().mean() > 0.4e-4


def test_optimiser_groups_by_prefix():
    names = {name.split(".")[0] for name, _ in small(normal="predicted").named_parameters()}
    assert names == {"encoding", "density_network", "feature_network", "normal_network"}


@pytest.mark.parametrize(("step", "levels"), [(0, 2), (100, 2), (199, 2), (200, 3), (299, 3), (300, 4), (10**9, 4)])
def test_levels_unlock_by_step(step, levels):
    grid = small()
    grid.set_step(step)
    assert grid.active_grid.levels == levels


def test_a_schedule_beyond_the_grid_means_all_levels():
    grid = small(levels_active=Schedule.constant(99.0))
    assert grid.active_grid == grid.grid


def test_locked_levels_have_no_influence():
    grid = built()
    grid.set_step(0)
    before = grid(points(), normal=True)
    locked = grid.grid.table[2].offset
    with torch.no_grad():
        grid.encoding[locked:] += 5.0
    assert_same(before, grid(points(), normal=True))
    grid.set_step(300)
    assert not torch.allclose(before.features, grid(points()).features)


def test_locked_levels_are_features_of_zero():
    grid, zeroed = built(), built(levels_active=None)
    grid.set_step(0)
    with torch.no_grad():
        zeroed.encoding[grid.grid.table[2].offset :] = 0.0
    assert_same(zeroed(points(), normal=True), grid(points(), normal=True))


def test_all_levels_unlocked_is_the_plain_grid():
    grid, plain = built(), built(levels_active=None)
    grid.set_step(300)
    assert_same(plain(points(), normal=True), grid(points(), normal=True))


def test_an_optimiser_leaves_locked_levels_as_they_are():
    grid = built()
    grid.set_step(0)
    locked = grid.grid.table[2].offset
    before = grid.encoding.detach().clone()
    optimiser = torch.optim.Adam(grid.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        weighted_sum(grid.density(points())).backward()
        optimiser.step()
    assert torch.equal(grid.encoding[locked:], before[locked:])
    assert not torch.equal(grid.encoding[:locked], before[:locked])


def test_density_runs_no_other_network():
    grid = built(normal="predicted")
    for network in (grid.feature_network, grid.normal_network):
        network.register_forward_pre_hook(lambda *_: pytest.fail("runs"))
    assert grid.density(points()).shape == (64,)


def test_features_get_no_gradient_from_the_density_network():
    grid = built()
    weighted_sum(grid(points()).features).backward()
    assert all(weight.grad is None for weight in grid.density_network.parameters())


@pytest.mark.parametrize("samples", [4, 6])
def test_small_differences_approach_the_analytic_normal(samples):
    options = {"interpolation": "smoothstep", "hidden_layers": 1}
    exact = built(**options).double()
    near = built(normal="finite-difference", finite_difference_eps=1e-6, finite_difference_samples=samples, **options)
    at = points().double()
    expected, found = exact(at, normal=True).normal, near.double()(at, normal=True).normal
    assert ((expected * found).sum(dim=-1) > 0.999).float().mean() > 0.95


def test_normals_see_the_grid_and_not_only_the_blob():
    grid = built(density_bias="none", interpolation="smoothstep").double()
    at = points().double().requires_grad_()
    raw = grid.density_network(grid.encode(at))[:, 0]
    (slope,) = torch.autograd.grad(raw.sum(), at)
    expected = -torch.nn.functional.normalize(slope, dim=-1)
    # The network computes in float32, its derivative in the dtype of its input.
    torch.testing.assert_close(grid(at.detach(), normal=True).normal, expected, atol=1e-5, rtol=0)


def test_total_variation_of_a_ramp():
    grid = built(levels_active=None, log2_table_size=6)
    dense, hashed = grid.grid.table[0], grid.grid.table[1]
    assert (dense.resolution, dense.hashed, hashed.hashed) == (4, False, True)
    ramp = (torch.arange(64) % 4).float() * 3.0  # x varies fastest in the table
    with torch.no_grad():
        grid.encoding[:64] = ramp[:, None]
        grid.encoding[64:] = torch.rand_like(grid.encoding[64:])
    # Neighbours differ by 3 along one of three axes.
    torch.testing.assert_close(grid.total_variation(), torch.tensor(3.0))


def test_total_variation_reaches_the_dense_levels_only():
    grid = built(levels_active=None)
    grid.total_variation().backward()
    for level in grid.grid.table:
        touched = grid.encoding.grad[level.offset : level.offset + level.size].count_nonzero() > 0
        assert touched == (not level.hashed)


def test_total_variation_without_dense_levels_is_zero():
    assert built(log2_table_size=3).total_variation() == 0.0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"radius": 0.0}, "radius: must lie in"),
        ({"levels": 0}, "levels: must lie in [1, 32], got 0"),
        ({"features_per_level": 9}, "features_per_level: must lie in [1, 8], got 9"),
        ({"features_per_level": 0}, "features_per_level: must lie in [1, 8], got 0"),
        ({"log2_table_size": 40}, "log2_table_size: must lie in [3, 24], got 40"),
        ({"finest_resolution": 2}, "finest_resolution: must be at least base_resolution (16), got 2"),
        ({"levels_active": Schedule.constant(0.0)}, "levels_active: must lie in [1, 1000], got 0.0"),
        ({"blob_std": -1.0}, "blob_std: must lie in"),
        ({"feature_count": 0}, "feature_count: must lie in"),
    ],
)
def test_wrong_options_name_the_field(changes, text):
    with pytest.raises(ValueError) as caught:
        HashGridConfig(**changes)
    assert str(caught.value).startswith(text)
