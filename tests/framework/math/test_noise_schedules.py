"""Tests of noise schedules: closed forms, and diffusers' schedules to the last bit."""

from __future__ import annotations

import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from bozzetto.math.noise_schedules import (
    alpha_bars,
    exponential_shift,
    linear_betas,
    scaled_linear_betas,
    shifted_sigmas,
    zero_terminal_snr,
)


def test_both_ends_are_given_and_the_middle_is_linear_in_the_variance_or_its_root() -> None:
    assert linear_betas(0.1, 0.3, 3).tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert scaled_linear_betas(0.01, 0.09, 3).tolist() == pytest.approx([0.01, 0.04, 0.09])


def test_what_is_left_is_a_product() -> None:
    assert alpha_bars(torch.tensor([0.5, 0.2, 0.0])).tolist() == pytest.approx([0.5, 0.4, 0.4])


def test_rescaled_nothing_is_left_at_the_end_and_the_start_stays() -> None:
    betas = scaled_linear_betas(0.00085, 0.012, 1000)
    before, after = alpha_bars(betas), alpha_bars(zero_terminal_snr(betas))
    assert after[-1] == 0.0 and before[-1] > 0.004 and after[0] == pytest.approx(float(before[0]))
    assert (after.diff() < 0).all()


@pytest.mark.parametrize("kind", ["linear", "scaled_linear"])
@pytest.mark.parametrize("rescaled", [False, True])
def test_they_are_those_of_diffusers(kind: str, rescaled: bool) -> None:
    schedule = DDPMScheduler(
        1000, beta_start=0.00085, beta_end=0.012, beta_schedule=kind, rescale_betas_zero_snr=rescaled
    )
    betas = (linear_betas if kind == "linear" else scaled_linear_betas)(0.00085, 0.012, 1000)
    assert torch.equal(alpha_bars(zero_terminal_snr(betas) if rescaled else betas), schedule.alphas_cumprod)


def test_a_shift_moves_the_levels_of_a_flow_to_more_noise() -> None:
    assert shifted_sigmas(1.0, 4).tolist() == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert shifted_sigmas(3.0, 4).tolist() == pytest.approx([0.5, 0.75, 0.9, 1.0])
    time = torch.arange(1, 5) / 4
    shift = exponential_shift(1024.0, (256.0, 0.5), (4096.0, 1.15))
    assert shift == pytest.approx(1.8776, abs=1e-4)  # exp(0.63)
    torch.testing.assert_close(shifted_sigmas(shift, 4), shift / (shift + 1.0 / time - 1.0))
