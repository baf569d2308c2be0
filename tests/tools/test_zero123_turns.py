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
from pairs import Pieces, load_pieces, rendered_keys

RING = Path(__file__).parent / "ring"
NAME = "bozzetto-mini-zero123"


@pytest.fixture(scope="module")
def prior() -> Zero123:
    folder = plan(NAME).folder
    assert folder is not None
    return Zero123(Zero123Config(model=NAME, dtype="float32"), folder, torch.device("cpu"))


@pytest.fixture(scope="module")
def ring() -> Pieces:
    return load_pieces(RING, rendered_keys(RING), every=None)


@pytest.fixture(scope="module")
def shares(prior: Zero123, ring: Pieces) -> dict[str, dict[str, float]]:
    """By turn: how many of the generated views are nearer to the truth than to the other side."""
    return evaluate_zero123.sides(prior, ring, evaluate_zero123.Sampling(steps=4, scale=2.0))


@pytest.mark.parametrize("turn", ["30", "90", "180"])
def test_the_generated_view_is_the_right_side(shares: dict[str, dict[str, float]], turn: str) -> None:
    assert shares[turn]["views"] == 24 and shares[turn]["right"] >= 0.8


def test_the_elevation_of_a_photo_is_estimated(prior: Zero123, ring: Pieces) -> None:
    found = evaluate_zero123.elevations(prior, ring, each=1)
    assert found["views"] == 2 and found["off_deg"] <= 10.0
    true_deg = ring.camera[:, 0, 1]
    assert found["guess_off_deg"] == pytest.approx(float((true_deg - evaluate_zero123.GUESS_DEG).abs().mean()), abs=0.1)
