"""Diffusion parametrisations and score distillation.

Notation: x0 a clean latent, eps unit Gaussian noise, abar the cumulative product of the schedule's alphas, so that `x_t
= sqrt(abar) x0 + sqrt(1 - abar) eps` (Ho et al. 2020, eq. 4). Shapes are "B C H W" with one abar per row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto import readings
from bozzetto.errors import NonFiniteError

__all__ = [
    "ClipBy",
    "SdsForm",
    "add_noise",
    "clip_gradient",
    "epsilon_from_v",
    "require_finite",
    "sds_gradient",
    "sds_loss",
    "sds_pair",
    "signal_and_noise",
    "v_from_epsilon",
    "x0_from_epsilon",
    "x0_from_v",
]

SdsForm = Literal["target", "function", "dot", "backward"]
ClipBy = Literal["value", "norm"]


def signal_and_noise(alpha_bar: Float[Tensor, "B"]) -> tuple[Float[Tensor, "B 1 1 1"], Float[Tensor, "B 1 1 1"]]:
    """Return `sqrt(abar)` and `sqrt(1 - abar)`, broadcastable to images: alpha_t and sigma_t of Salimans & Ho 2022."""
    alpha_bar = alpha_bar[:, None, None, None]
    return alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()


def add_noise(
    x0: Float[Tensor, "B C H W"], epsilon: Float[Tensor, "B C H W"], alpha_bar: Float[Tensor, "B"]
) -> Float[Tensor, "B C H W"]:
    """Compute the noisy latents x_t (Ho et al. 2020, eq. 4)."""
    signal, noise = signal_and_noise(alpha_bar)
    return signal * x0 + noise * epsilon


def v_from_epsilon(
    x0: Float[Tensor, "B C H W"], epsilon: Float[Tensor, "B C H W"], alpha_bar: Float[Tensor, "B"]
) -> Float[Tensor, "B C H W"]:
    """Compute the velocity `v = sqrt(abar) eps - sqrt(1 - abar) x0` (Salimans & Ho 2022, appendix D)."""
    signal, noise = signal_and_noise(alpha_bar)
    return signal * epsilon - noise * x0


def epsilon_from_v(
    v: Float[Tensor, "B C H W"], noisy: Float[Tensor, "B C H W"], alpha_bar: Float[Tensor, "B"]
) -> Float[Tensor, "B C H W"]:
    """Compute `eps = sqrt(abar) v + sqrt(1 - abar) x_t` for abar in [0, 1] (Salimans & Ho 2022, appendix D)."""
    signal, noise = signal_and_noise(alpha_bar)
    return signal * v + noise * noisy


def x0_from_v(
    v: Float[Tensor, "B C H W"], noisy: Float[Tensor, "B C H W"], alpha_bar: Float[Tensor, "B"]
) -> Float[Tensor, "B C H W"]:
    """Compute `x0 = sqrt(abar) x_t - sqrt(1 - abar) v` (Salimans & Ho 2022, appendix D)."""
    signal, noise = signal_and_noise(alpha_bar)
    return signal * noisy - noise * v


def x0_from_epsilon(
    epsilon: Float[Tensor, "B C H W"], noisy: Float[Tensor, "B C H W"], alpha_bar: Float[Tensor, "B"]
) -> Float[Tensor, "B C H W"]:
    """Compute `x0 = (x_t - sqrt(1 - abar) eps) / sqrt(abar)` for abar > 0 (from Ho et al. 2020, eq. 4)."""
    signal, noise = signal_and_noise(alpha_bar)
    return (noisy - noise * epsilon) / signal


def sds_gradient(
    epsilon_hat: Float[Tensor, "B C H W"], epsilon: Float[Tensor, "B C H W"], weight: Float[Tensor, "B"]
) -> Float[Tensor, "B C H W"]:
    """Compute `w(t) (eps_hat - eps)`: DreamFusion (Poole et al. 2022), eq. 3, without the renderer's Jacobian."""
    return weight[:, None, None, None] * (epsilon_hat - epsilon)


def clip_gradient(gradient: Float[Tensor, "B C H W"], limit: float, by: ClipBy = "value") -> Float[Tensor, "B C H W"]:
    """Clamp each element to [-limit, limit], or scale each view so that its L2 norm is at most `limit`."""
    if by == "value":
        return gradient.clamp(-limit, limit)
    norm: Tensor = gradient.flatten(1).norm(dim=1)[:, None, None, None]
    return gradient * (limit / norm.clamp_min(limit))


def require_finite(value: Tensor, component: str, step: int, cure: str = "") -> Tensor:
    """Return `value` unchanged if it is finite.

    Raises:
        NonFiniteError: it has a NaN or an infinity; the message names `component`, `step` and `cure`. During training
            on an accelerator, raised when the numbers of the step are next read (`bozzetto.readings`).
    """
    count, hint = value.numel(), f" {cure}" if cure else ""

    def error(bad: int) -> NonFiniteError:
        return NonFiniteError(f"{component}: {bad} of {count} values are not finite at step {step}.{hint}")

    readings.require_finite(value, error)
    return value


class _SpecifyGradient(torch.autograd.Function):
    """Scalar 0 with a specified gradient with respect to `latents`."""

    @staticmethod
    def forward(ctx: Any, latents: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return latents.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return upstream[0] * gradient, None


def sds_loss(
    latents: Float[Tensor, "B C H W"],
    gradient: Float[Tensor, "B C H W"],
    form: Literal["target", "function", "dot"] = "target",
) -> Float[Tensor, ""]:
    """Return a scalar whose gradient with respect to `latents` is `gradient / B`. Its value does not measure progress.

    `target` regresses to `latents - gradient` and has the value |gradient|^2 / 2B; `function` has the value 0; `dot`
    has the value <gradient, latents> / B. The fourth equivalent form, back-propagating from the latents themselves, has
    no scalar: see `sds_pair`.
    """
    views = len(latents)
    gradient = gradient.detach()
    if form == "target":
        target = (latents - gradient).detach()
        return 0.5 * torch.nn.functional.mse_loss(latents, target, reduction="sum") / views
    if form == "function":
        apply: Callable[[Tensor, Tensor], Tensor] = _SpecifyGradient.apply  # not annotated in torch
        return apply(latents, gradient / views)
    return (gradient * latents).sum() / views


def sds_pair(
    latents: Float[Tensor, "B C H W"], gradient: Float[Tensor, "B C H W"]
) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B C H W"]]:
    """Return the tensor and the gradient, `gradient / B`, to back-propagate from: the `backward` form."""
    return latents, gradient.detach() / len(latents)
