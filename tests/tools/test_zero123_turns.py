"""The bundled image-and-pose prior turns objects the way it was asked to: a chair, whose sides are mirror images, and a
cat, which looks aside and has other patches on the left than on the right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import evaluate_zero123
from bozzetto.models import plan
from bozzetto_plugins.guidance.config import Zero123Config
from bozzetto_plugins.guidance.zero123 import Zero123
from pairs import load_pieces, rendered_keys

RING = Path(__file__).parent / "ring"
NAME = "bozzetto-mini-zero123"


@pytest.fixture(scope="module")
def shares() -> dict[str, dict[str, float]]:
    """By turn: how many of the generated views are nearer to the truth than to the other side."""
    folder = plan(NAME).folder
    assert folder is not None
    prior = Zero123(Zero123Config(model=NAME, dtype="float32"), folder, torch.device("cpu"))
    ring = load_pieces(RING, rendered_keys(RING), every=None)
    return evaluate_zero123.sides(prior, ring, evaluate_zero123.Sampling(steps=4, scale=2.0))


@pytest.mark.parametrize("turn", ["30", "90", "180"])
def test_the_generated_view_is_the_right_side(shares: dict[str, dict[str, float]], turn: str) -> None:
    assert shares[turn]["views"] == 24 and shares[turn]["right"] >= 0.8
