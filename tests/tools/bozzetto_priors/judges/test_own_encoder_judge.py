"""Tests of the inputs of the photo prior's encoder, and of the interpretation of its scores."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from bozzetto_plugins.priors.photo_recall import SIDES
from bozzetto_priors.judges.own_encoder_judge import OwnJudge, Seen
from bozzetto_priors.objects import thing_table


class Encoder(nn.Module):
    """Encoder with a high score for one side of one row of the memory; records its inputs."""

    def __init__(self, row: int, side: int) -> None:
        super().__init__()
        self.logits = torch.zeros(len(thing_table.PIECES) + 1, SIDES)
        self.logits[row, side] = 9.0

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        """Return scores "B R*K"."""
        self.shown = pixel_values
        return SimpleNamespace(logits=self.logits.flatten().expand(len(pixel_values), -1))


def looked(encoder: Encoder) -> list[Seen]:
    opacity = torch.zeros(2, 1, 32, 32)
    opacity[:, :, 8:16, 4:20] = 1.0
    return OwnJudge(encoder, 16).look(1.0 - opacity.expand(-1, 3, -1, -1), opacity)


def test_any_piece_of_a_thing_is_that_thing() -> None:
    phrases = ["", *thing_table.PIECES]
    for phrase, name in (("chair", "chair"), ("wooden chair", "chair"), ("car", "car")):
        (seen, again) = looked(Encoder(phrases.index(phrase), 3))
        assert seen == again == Seen(name, 3 * 360.0 / SIDES)
    assert looked(Encoder(0, 0))[0].name == ""


def test_objects_are_shown_in_the_middle_over_white() -> None:
    encoder = Encoder(1, 0)
    looked(encoder)
    assert encoder.shown.shape == (2, 3, 16, 16)
    dark = encoder.shown[0, 0] < 0.0
    rows, columns = dark.any(dim=1).nonzero().flatten(), dark.any(dim=0).nonzero().flatten()
    assert (rows.min() + rows.max()).item() == 15 and (columns.min() + columns.max()).item() == 15
    assert encoder.shown.max() == 1.0 and encoder.shown.min() == -1.0


def test_fronts_are_within_an_eighth_of_a_turn() -> None:
    assert [Seen("chair", azimuth).is_front for azimuth in (0.0, 30.0, 45.0, 180.0, 330.0)] == [
        True, True, False, False, True,
    ]  # fmt: skip
