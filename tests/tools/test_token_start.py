"""The photo prior's token is taught where the wanted view is. No weights needed."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch
from diffusers.models.embeddings import TimestepEmbedding
from torch import nn

import image_encoder
import token_start


def turns_of(count: int) -> token_start.Turns:
    """One piece; the embedding is the photo's azimuth itself, so that target = photo + turn can be learned."""
    photo, turn = (torch.rand(count) * 2 * math.pi for _ in range(2))
    told = torch.stack([photo.sin(), photo.cos(), torch.zeros(count), turn.sin(), turn.cos(), torch.zeros(count)], 1)
    target = photo + turn
    azimuth = torch.stack([target.sin(), target.cos()], 1)
    return token_start.Turns(told, azimuth, torch.zeros(count, 2), torch.zeros(count, dtype=torch.long))


def test_it_learns_that_turns_add_to_the_photos_azimuth() -> None:
    torch.manual_seed(0)
    network = SimpleNamespace(class_embedding=TimestepEmbedding(8, 64))
    settings = token_start.TokenSettings(steps=400, batch=128, rate=3e-3, harmonics=(1,))
    projection, turns = nn.Linear(6, 8), turns_of(4096)
    errors = token_start.teach_token(network, projection, turns, 1, settings)
    assert errors[0] > 0.8 and sum(errors[-20:]) / 20 < 0.1
    with torch.no_grad():
        told = network.class_embedding(projection(turns.told))
    spread = torch.linalg.svdvals(told - told.mean(0))[:2] / len(told) ** 0.5
    assert float(spread.min()) > 0.9 * settings.gain / 2**0.5


def test_facts_are_waves_of_the_azimuth_and_standardised_heights() -> None:
    azimuth = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    height = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    turns = token_start.Turns(torch.zeros(2, 1), azimuth, height, torch.zeros(2, dtype=torch.long))
    found = token_start.facts_of(turns, (1, 2))
    apart = 0.5**0.5
    expected = torch.tensor([[1.0, 0.0, 0.0, -1.0, -apart, 0.0], [0.0, 1.0, 0.0, 1.0, apart, 0.0]])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_targets_are_the_cameras() -> None:
    azimuth, height = image_encoder.targets_of(torch.tensor([[90.0, 30.0, 3.4]]))
    torch.testing.assert_close(azimuth, torch.tensor([[1.0, 0.0]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(height, torch.tensor([[math.pi / 6, 0.2]]))


def test_the_mean_colour_leaves_out_the_white() -> None:
    images = torch.ones(1, 3, 4, 4)
    images[:, :, 0, :2] = torch.tensor([1.0, -1.0, -1.0]).view(3, 1)
    torch.testing.assert_close(image_encoder.mean_color(images), torch.tensor([[1.0, -1.0, -1.0]]))
