"""Tests of a folder's noise schedule: diffusers' noise levels for every kind, and one line for a damaged file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from bozzetto.errors import ModelError
from bozzetto_plugins.guidance.noise_schedule import read_schedule


def written(folder: Path, values: object) -> Path:
    path = folder / "scheduler_config.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "prediction_type": "v_prediction"},
        {"beta_schedule": "linear", "num_train_timesteps": 50, "rescale_betas_zero_snr": True},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"trained_betas": [0.1, 0.2, 0.3]},
    ],
)
def test_levels_are_those_of_diffusers(tmp_path: Path, values: dict[str, Any]) -> None:
    found, expected = read_schedule(written(tmp_path, {**values, "another": 1})), DDPMScheduler(**values)
    assert torch.equal(found.alpha_bars, expected.alphas_cumprod)
    assert found.prediction == expected.config.prediction_type


def test_any_sampler_is_read(tmp_path: Path) -> None:
    sampler = DDIMScheduler(beta_schedule="scaled_linear", rescale_betas_zero_snr=True)
    sampler.save_pretrained(tmp_path)
    assert torch.equal(read_schedule(tmp_path / "scheduler_config.json").alpha_bars, sampler.alphas_cumprod)


@pytest.mark.parametrize("values", [{"beta_start": "x"}, {"num_train_timesteps": -1}, {"beta_schedule": []}, [1]])
def test_a_damaged_schedule_is_one_line(tmp_path: Path, values: object) -> None:
    with pytest.raises(ModelError):
        read_schedule(written(tmp_path, values))
