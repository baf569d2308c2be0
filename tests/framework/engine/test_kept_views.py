"""Tests that what guidances keep of their views is in the system, and is buffers alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bozzetto.engine.trained_guidance import keep_beside, keeper_of
from bozzetto.errors import ConfigError


def kept() -> nn.Module:
    module = nn.Module()
    module.register_buffer("pictures", torch.zeros(2, 4, dtype=torch.uint8))
    return module


def test_buffers_are_part_of_the_state_by_the_name_of_the_task() -> None:
    whole = nn.Module()
    keep_beside(whole, {"edit": kept(), "train": kept()})
    assert set(whole.state_dict()) == {"edit.pictures", "train.pictures"}


def test_parameters_and_a_task_that_trains_a_module_are_refused() -> None:
    whole = nn.Module()
    with pytest.raises(ConfigError, match=r"system\.tasks\.edit: .* buffers alone"):
        keep_beside(whole, {"edit": nn.Linear(1, 1)})
    whole._modules["edit"] = nn.Linear(1, 1)
    with pytest.raises(ConfigError, match="trains no module"):
        keep_beside(whole, {"edit": kept()})


def test_a_guidance_without_kept_views_has_no_keeper() -> None:
    assert keeper_of(None) is None
