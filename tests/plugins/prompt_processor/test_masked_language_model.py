"""Tests of the language model that fills gaps, on a tiny random BERT."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.plugins.prompt_processor.language_models import tiny_bert

from bozzetto.errors import ModelError
from bozzetto_plugins.prompt_processor.masked_language_model import MaskedLanguageModel

VIEWS = ("front", "side", "back", "overhead")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert") / "tiny")


def test_probabilities_are_those_of_transformers(folder: Path) -> None:
    from transformers import AutoTokenizer, BertForMaskedLM

    sentences = ["a [MASK] view of a dog", "a [MASK] view of a smiling dog"]
    found = MaskedLanguageModel(folder, CPU).probabilities(sentences, VIEWS)
    tokenizer, network = AutoTokenizer.from_pretrained(folder), BertForMaskedLM.from_pretrained(folder).eval()
    columns = tokenizer.convert_tokens_to_ids(list(VIEWS))
    for sentence, row in zip(sentences, found, strict=True):
        tokens = tokenizer(sentence, return_tensors="pt")
        place = tokens.input_ids[0].tolist().index(tokenizer.mask_token_id)
        with torch.no_grad():
            whole = network(**tokens).logits[0, place].softmax(dim=0)[columns]
        torch.testing.assert_close(row, whole / whole.sum(), rtol=1e-4, atol=1e-6)
    assert (found[0] - found[1]).abs().max() > 1e-5


def test_what_is_not_one_word_is_refused(folder: Path) -> None:
    model = MaskedLanguageModel(folder, CPU)
    with pytest.raises(ModelError, match="'hands' is not one word of its vocabulary"):
        model.probabilities(["a [MASK] view"], ("front", "hands"))
    with pytest.raises(ModelError, match="does not find one gap"):
        model.probabilities(["a view"], VIEWS)
    with pytest.raises(ModelError, match="more than the 32 tokens"):
        model.probabilities(["a [MASK] view of " + "dog " * 40], VIEWS)


def test_the_identifier_follows_the_content(folder: Path, tmp_path: Path) -> None:
    one, same, other = (
        MaskedLanguageModel(at, CPU).model_id
        for at in (folder, tiny_bert(tmp_path / "same"), tiny_bert(tmp_path / "other", seed=1))
    )
    assert one == same != other


def test_a_damaged_model_is_named(folder: Path, tmp_path: Path) -> None:
    broken = tiny_bert(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="The language model in .*broken cannot be loaded"):
        MaskedLanguageModel(broken, CPU).probabilities(["a [MASK] view"], VIEWS)
