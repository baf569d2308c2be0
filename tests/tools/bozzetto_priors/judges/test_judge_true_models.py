"""Tests of the questions to the photograph classifier about the true models; nothing is rendered."""

from __future__ import annotations

from bozzetto_priors.judges import judge_true_models
from bozzetto_priors.judges.photograph_judge import KNOWN


def test_every_piece_of_a_known_thing_is_judged() -> None:
    pieces = judge_true_models.judged_pieces()
    assert {name for name, _ in pieces} == set(KNOWN)
    assert ("chair", "wooden chair") in [(name, piece.words) for name, piece in pieces]


def test_means_are_over_plain_names() -> None:
    rows = [{"words": "car", "top1": 1.0}, {"words": "toy car", "top1": 0.0}, {"words": "cat", "top1": 0.5}]
    assert judge_true_models.means(rows, ["car", "cat", "dog"]) == {"names": 2, "top1": 0.75}
