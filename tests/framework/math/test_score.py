"""Tests of diffusion parametrisations and score distillation, against closed forms."""

from __future__ import annotations

import typing

import pytest
import torch
from torch import Tensor

from bozzetto.errors import NonFiniteError
from bozzetto.math import score

SHAPE = (3, 4, 5, 6)
ALPHA_BAR = torch.tensor([0.9, 0.5, 0.01])


def draw(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(count)]


def test_noise_is_added_with_unit_variance() -> None:
    x0, epsilon = draw(2)
    noisy = score.add_noise(x0, epsilon, ALPHA_BAR.double())
    expected = 0.9**0.5 * x0[0] + 0.1**0.5 * epsilon[0]
    torch.testing.assert_close(noisy[0], expected, rtol=1e-6, atol=1e-6)


def test_the_parametrisations_are_one_and_the_same() -> None:
    x0, epsilon = draw(2)
    alpha_bar = ALPHA_BAR.double()
    noisy = score.add_noise(x0, epsilon, alpha_bar)
    v = score.v_from_epsilon(x0, epsilon, alpha_bar)
    torch.testing.assert_close(score.epsilon_from_v(v, noisy, alpha_bar), epsilon)
    torch.testing.assert_close(score.x0_from_v(v, noisy, alpha_bar), x0)
    torch.testing.assert_close(score.x0_from_epsilon(epsilon, noisy, alpha_bar), x0)


def test_v_needs_no_signal() -> None:
    x0, epsilon = draw(2)
    none = torch.zeros(3, dtype=torch.float64)
    v = score.v_from_epsilon(x0, epsilon, none)
    torch.testing.assert_close(v, -x0)
    torch.testing.assert_close(score.epsilon_from_v(v, epsilon, none), epsilon)


def test_the_conversions_agree_with_diffusers() -> None:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    x0, epsilon = (tensor.float() for tensor in draw(2))
    timestep = torch.tensor([0, 400, 999])
    alpha_bar = scheduler.alphas_cumprod[timestep]
    torch.testing.assert_close(score.add_noise(x0, epsilon, alpha_bar), scheduler.add_noise(x0, epsilon, timestep))
    velocity = scheduler.get_velocity(x0, epsilon, timestep)
    torch.testing.assert_close(score.v_from_epsilon(x0, epsilon, alpha_bar), velocity)


def test_the_sds_gradient_is_the_weighted_residual() -> None:
    epsilon_hat, epsilon = draw(2)
    weight = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    gradient = score.sds_gradient(epsilon_hat, epsilon, weight)
    torch.testing.assert_close(gradient[2], 2.0 * (epsilon_hat[2] - epsilon[2]))


def latent_gradient(form: str, latents: Tensor, gradient: Tensor, weight: float) -> Tensor:
    latents = latents.clone().requires_grad_()
    if form == "backward":
        tensor, given = score.sds_pair(latents, gradient)
        torch.autograd.backward([tensor], [weight * given])
    else:
        (weight * score.sds_loss(latents, gradient, form)).backward()
    return latents.grad


@pytest.mark.parametrize("form", typing.get_args(score.SdsForm))
def test_all_forms_give_the_gradient_over_the_number_of_views(form: str) -> None:
    latents, gradient = draw(2)
    torch.testing.assert_close(latent_gradient(form, latents, gradient, weight=0.1), 0.1 * gradient / 3)


def test_the_value_of_each_form() -> None:
    latents, gradient = draw(2)
    assert score.sds_loss(latents, gradient, "target").item() == pytest.approx((gradient**2).sum().item() / 6)
    assert score.sds_loss(latents, gradient, "function").item() == 0.0
    assert score.sds_loss(latents, gradient, "dot").item() == pytest.approx((gradient * latents).sum().item() / 3)


def test_no_form_differentiates_through_the_given_gradient() -> None:
    latents, gradient = (tensor.requires_grad_() for tensor in draw(2))
    for form in ("target", "function", "dot"):
        score.sds_loss(latents, gradient, form).backward()
    assert gradient.grad is None


def test_clipping_by_value_cuts_elements() -> None:
    (gradient,) = draw(1)
    clipped = score.clip_gradient(gradient, 0.5, "value")
    assert clipped.abs().max().item() == 0.5
    small = gradient.abs() <= 0.5
    assert torch.equal(clipped[small], gradient[small])


def test_clipping_by_norm_scales_only_long_views() -> None:
    (gradient,) = draw(1)
    scale = torch.tensor([0.5, 1.0, 4.0]) / gradient.flatten(1).norm(dim=1)
    gradient = gradient * scale[:, None, None, None]
    clipped = score.clip_gradient(gradient, 1.0, "norm")
    torch.testing.assert_close(clipped[:2], gradient[:2])
    torch.testing.assert_close(clipped[2], gradient[2] / 4.0)


def test_finite_values_pass() -> None:
    value = torch.ones(3)
    assert score.require_finite(value, "denoiser", 7) is value


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_non_finite_value_names_component_step_and_cure(bad: float) -> None:
    value = torch.tensor([1.0, bad, 2.0])
    with pytest.raises(NonFiniteError, match=r"^denoiser: 1 of 3 values are not finite at step 7. Try float32.$"):
        score.require_finite(value, "denoiser", 7, "Try float32.")


def test_descending_the_gradient_reaches_what_a_perfect_denoiser_knows() -> None:
    """If all data is one point, the best prediction is `(x_t - sqrt(abar) point) / sqrt(1 - abar)`, in closed form."""
    latents, point, epsilon = draw(3)
    alpha_bar = torch.full((3,), 0.5, dtype=torch.float64)
    latents.requires_grad_()
    for _ in range(60):
        noisy = score.add_noise(latents.detach(), epsilon, alpha_bar)
        best = (noisy - 0.5**0.5 * point) / 0.5**0.5
        gradient = score.sds_gradient(best, epsilon, 1.0 - alpha_bar)
        torch.testing.assert_close(gradient, 0.5 * (latents - point).detach())
        latents.grad = None
        score.sds_loss(latents, gradient).backward()
        latents.data -= 3.0 * 0.5 * latents.grad
    torch.testing.assert_close(latents.detach(), point, rtol=0.0, atol=1e-5)
