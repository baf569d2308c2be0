import math

import pytest
import torch

from bozzetto.math.density import activate_density, blob_dreamfusion, blob_magic3d, truncated_exp, volsdf_density


def on_a_ray(*radii: float) -> torch.Tensor:
    """Return points at the given distances from the origin, in one oblique direction."""
    direction = torch.tensor([2.0, -3.0, 6.0], dtype=torch.float64) / 7.0
    return torch.tensor(radii, dtype=torch.float64)[:, None] * direction


def test_the_dreamfusion_blob_is_a_gaussian():
    found = blob_dreamfusion(on_a_ray(0.0, 0.2, 0.4, 10.0), scale=5.0, std=0.2)
    expected = [5.0, 5.0 * math.exp(-0.5), 5.0 * math.exp(-2.0), 0.0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_the_magic3d_blob_is_a_cone():
    found = blob_magic3d(on_a_ray(0.0, 0.25, 0.5, 1.0, 1.5), scale=10.0, std=0.5)
    expected = torch.tensor([10.0, 5.0, 0.0, -10.0, -20.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0.0)


def test_the_cone_has_a_constant_slope():
    points = on_a_ray(0.1, 0.7).requires_grad_()
    (slope,) = torch.autograd.grad(blob_magic3d(points, 10.0, 0.5).sum(), points)
    torch.testing.assert_close(slope.norm(dim=-1), torch.full((2,), 20.0, dtype=torch.float64))


@pytest.mark.parametrize("blob", [blob_dreamfusion, blob_magic3d])
def test_blobs_have_two_finite_derivatives_at_the_origin(blob):
    points = torch.zeros(1, 3, requires_grad=True)
    (first,) = torch.autograd.grad(blob(points, 10.0, 0.5).sum(), points, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum() + first.sum(), points)
    assert torch.equal(first, torch.zeros(1, 3))
    assert second.isfinite().all()


def test_truncated_exp_is_exp():
    raw = torch.tensor([-80.0, -3.0, 0.0, 10.0, 20.0])
    assert torch.equal(truncated_exp(raw), raw.exp())


def test_the_gradient_of_truncated_exp_stops_growing_at_15():
    raw = torch.tensor([-20.0, 0.0, 14.0, 15.0, 16.0, 100.0], requires_grad=True)
    truncated_exp(raw).backward(torch.ones_like(raw))
    torch.testing.assert_close(raw.grad, raw.detach().clamp(max=15.0).exp())


def test_truncated_exp_is_twice_differentiable():
    raw = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(truncated_exp, (raw,))
    assert torch.autograd.gradgradcheck(truncated_exp, (raw,))


def test_density_activations_at_zero_and_far_out():
    raw = torch.tensor([-1000.0, 0.0, 40.0])
    torch.testing.assert_close(activate_density(raw, "softplus"), torch.tensor([0.0, math.log(2.0), 40.0]))
    torch.testing.assert_close(activate_density(raw, "exp"), torch.tensor([0.0, 1.0, math.exp(40.0)]))


def test_the_density_of_a_distance_is_laplaces_distribution_function():
    beta = torch.tensor(0.1, dtype=torch.float64)
    sdf = torch.tensor([-1e3, -0.2, -0.1, 0.0, 0.1, 0.2, 1e3], dtype=torch.float64)
    e1, e2 = math.exp(-1.0), math.exp(-2.0)
    expected = [10.0, 10.0 * (1 - e2 / 2), 10.0 * (1 - e1 / 2), 5.0, 5.0 * e1, 5.0 * e2, 0.0]
    assert volsdf_density(sdf, beta).tolist() == pytest.approx(expected)


def test_the_density_of_a_distance_falls_smoothly_and_integrates_in_closed_form():
    """Over sdf in (0, inf) the optical depth is 1 / 2 whatever beta; gradients are finite far away and continuous at 0."""
    for scale in (0.01, 0.1, 1.0):
        beta = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
        sdf = torch.linspace(0.0, 40.0 * scale, 40001, dtype=torch.float64)
        assert torch.trapezoid(volsdf_density(sdf, beta), sdf).item() == pytest.approx(0.5, rel=1e-5)
        near = torch.tensor([-1e-9, 1e-9, -1e3, 1e3], dtype=torch.float64, requires_grad=True)
        slope, by_beta = torch.autograd.grad(volsdf_density(near, beta).sum(), [near, beta])
        assert slope.tolist() == pytest.approx([-0.5 / scale**2, -0.5 / scale**2, 0.0, 0.0], rel=1e-6)
        assert math.isfinite(by_beta.item())
