import math

import pytest
import torch

from bozzetto.math import losses


def packed(counts: list[int], seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Return random weights, starts and ends near to far, ray numbers, offsets."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(counts)
    ray = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    offsets = torch.tensor([0, *counts]).cumsum(0)
    start = torch.rand(total, generator=generator, dtype=torch.float64)
    for row in range(len(counts)):
        start[offsets[row] : offsets[row + 1]] = start[offsets[row] : offsets[row + 1]].sort().values
    length = 0.01 * torch.rand(total, generator=generator, dtype=torch.float64)
    weights = torch.rand(total, generator=generator, dtype=torch.float64) / 8.0
    return weights, start, start + length, ray, offsets


def double_loop(weights, start, end, ray, offsets) -> torch.Tensor:
    """Compute mip-NeRF 360, eq. 15, literally."""
    middle, total = 0.5 * (start + end), weights.new_zeros(())
    for row in range(len(offsets) - 1):
        first, last = int(offsets[row]), int(offsets[row + 1])
        for i in range(first, last):
            for j in range(first, last):
                total = total + weights[i] * weights[j] * (middle[i] - middle[j]).abs()
            total = total + weights[i] ** 2 * (end[i] - start[i]) / 3.0
    return total / (len(offsets) - 1)


def test_sparsity_at_its_ends() -> None:
    assert float(losses.sparsity(torch.zeros(4))) == pytest.approx(0.1)
    assert float(losses.sparsity(torch.ones(4))) == pytest.approx(math.sqrt(1.01))
    opacity = torch.zeros(4, requires_grad=True)
    losses.sparsity(opacity).backward()
    assert torch.equal(opacity.grad, torch.zeros(4))


def test_binary_entropy_in_nats() -> None:
    entropy = losses.binary_entropy(torch.tensor([0.5, 0.25, 0.75, 0.0, 1.0]), margin=1e-3)
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    edge = -(0.001 * math.log(0.001) + 0.999 * math.log(0.999))
    torch.testing.assert_close(entropy, torch.tensor([math.log(2.0), quarter, quarter, edge, edge]))


def test_binary_entropy_has_finite_gradients_at_its_ends() -> None:
    probability = torch.tensor([0.0, 1.0, 0.25], requires_grad=True)
    losses.binary_entropy(probability, margin=1e-5).sum().backward()
    torch.testing.assert_close(probability.grad, torch.tensor([0.0, 0.0, math.log(3.0)]))


def test_orientation_counts_only_normals_that_face_away() -> None:
    normal = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    direction = torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3)
    weights = torch.tensor([0.5, 0.3, 0.2], requires_grad=True)
    value = losses.orientation(weights, normal.requires_grad_(), direction, ray_count=4)
    assert float(value.detach()) == pytest.approx(0.5 / 4)
    value.backward()
    assert weights.grad is None  # the scene must not hide its surface
    torch.testing.assert_close(normal.grad, torch.tensor([[0.0, 0.0, 0.25], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))


def test_orientation_does_not_depend_on_how_finely_rays_are_cut() -> None:
    normal = torch.tensor([[0.6, 0.0, 0.8]])
    direction = torch.tensor([[0.0, 0.0, 1.0]])
    whole = losses.orientation(torch.tensor([0.8]), normal, direction, 1)
    halves = losses.orientation(torch.tensor([0.4, 0.4]), normal.expand(2, 3), direction.expand(2, 3), 1)
    torch.testing.assert_close(whole, halves)


@pytest.mark.parametrize("counts", [[5], [3, 0, 4], [0, 0, 6, 1], [0, 2, 0]])
def test_distortion_equals_the_double_loop_gradients_too(counts: list[int]) -> None:
    weights, *rest = packed(counts)
    fast, slow = weights.clone().requires_grad_(), weights.clone().requires_grad_()
    value, expected = losses.distortion(fast, *rest), double_loop(slow, *rest)
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    torch.testing.assert_close(fast.grad, slow.grad)


def test_distortion_of_two_halves_and_of_one_interval() -> None:
    two = losses.distortion(
        torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]), torch.zeros(2, dtype=torch.long),
        torch.tensor([0, 2]),
    )  # fmt: skip
    one = losses.distortion(
        torch.ones(1), torch.zeros(1), torch.full((1,), 0.3), torch.zeros(1, dtype=torch.long), torch.tensor([0, 1])
    )
    assert float(two) == pytest.approx(0.5)
    assert float(one) == pytest.approx(0.1)


def test_distortion_stays_exact_after_many_rays() -> None:
    weights, start, end, ray, offsets = packed([4] * 2000)
    exact = losses.distortion(weights, start, end, ray, offsets)
    single = losses.distortion(weights.float(), start.float(), end.float(), ray, offsets)
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=0.0)


def test_distortion_of_nothing_is_zero_with_a_gradient() -> None:
    weights = torch.zeros(0, requires_grad=True)
    empty, ray = torch.zeros(0), torch.zeros(0, dtype=torch.long)
    value = losses.distortion(weights, empty, empty, ray, torch.zeros(5, dtype=torch.long))
    value.backward()
    assert float(value.detach()) == 0.0 and weights.grad.shape == (0,)


def test_neighbor_difference_of_a_ramp_and_of_a_constant() -> None:
    ramp = torch.arange(4.0)[None, :, None, None].expand(2, 4, 5, 3)  # increases by 1 per row
    assert float(losses.neighbor_difference(ramp)) == pytest.approx(1.0)
    assert float(losses.neighbor_difference(torch.ones(1, 3, 3, 3))) == 0.0
    assert float(losses.neighbor_difference(torch.ones(1, 1, 1, 3))) == 0.0


def test_mean_absolute_difference() -> None:
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 0.0]])
    assert float(losses.mean_absolute_difference(a, b)) == pytest.approx(1.5)
    assert float(losses.mean_absolute_difference(torch.zeros(0, 3), torch.zeros(0, 3))) == 0.0


def test_mean_square_weighs_every_number_alike() -> None:
    assert float(losses.mean_square([torch.full((3,), 2.0), torch.zeros(1)])) == pytest.approx(3.0)
    with pytest.raises(ValueError, match="at least one"):
        losses.mean_square([])
