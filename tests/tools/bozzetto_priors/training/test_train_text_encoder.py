"""Tests of the thing and colour of a prompt: targets, and their training."""

from __future__ import annotations

import pytest
import torch

from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_priors.objects.captions import COLORS, NAMES, Caption
from bozzetto_priors.objects.thing_table import PIECES
from bozzetto_priors.training import tokenizer_and_encoder, train_text_encoder
from bozzetto_priors.training.train_text_encoder import Words

CAPTIONS = [
    Caption("", 0),
    Caption("a red chair", NAMES["chair"], "red"),
    Caption("a chair", NAMES["chair"]),
    Caption("a blue car", NAMES["car"], "blue"),
]


def test_targets_are_thing_colour_and_whether_there_is_one() -> None:
    thing, paint, painted = train_text_encoder.targets_of(CAPTIONS, torch.device("cpu"))
    assert thing.tolist() == [0, NAMES["chair"], NAMES["chair"], NAMES["car"]]
    assert painted.tolist() == [0.0, 1.0, 0.0, 1.0]
    torch.testing.assert_close(paint[[1, 3]], torch.tensor([COLORS["red"], COLORS["blue"]]))


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> tuple[Words, object]:
    torch.manual_seed(0)
    tokenizer = tokenizer_and_encoder.write_tokenizer(tmp_path_factory.mktemp("words"))
    return Words(tokenizer_and_encoder.build_text_encoder(tokenizer)), tokenizer


def test_a_few_captions_are_learned(words: tuple[Words, object]) -> None:
    network, tokenizer = words
    before = train_text_encoder.loss_of(network, tokenizer, CAPTIONS).item()
    adam = torch.optim.AdamW(network.parameters(), 1e-3)
    for _ in range(30):
        adam.zero_grad()
        loss = train_text_encoder.loss_of(network, tokenizer, CAPTIONS)
        loss.backward()
        adam.step()
    assert loss.item() < 0.1 * before
    found = train_text_encoder.check(network, tokenizer, CAPTIONS)
    assert (found["thing"], found["painted"]) == (1.0, 1.0) and found["worst_colour"] < 0.2


def test_the_two_layers_are_those_of_the_denoiser(words: tuple[Words, object]) -> None:
    network, _ = words
    with torch.device("meta"):
        denoiser = CameraUNet(things=len(PIECES) + 1)
    assert network.thing.weight.shape == denoiser.recall_thing.weight.shape
    assert network.paint.weight.shape == denoiser.recall_paint.weight.shape
