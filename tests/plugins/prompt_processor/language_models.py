"""Masked language models for tests: a table of probabilities, and a tiny random BERT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

WORDS = [
    "this",
    "image",
    "is",
    "depicting",
    "a",
    "view",
    "of",
    "front",
    "side",
    "back",
    "overhead",
    "smiling",
    "dog",
    "left",
    "hand",
    "##s",
]


class Table:
    """Language model that knows the probabilities of front, side, back and overhead by the prompt in its sentence."""

    model_id = "table"

    def __init__(
        self, rows: Mapping[str, Sequence[float]], sentence: str = "This image is depicting a [MASK] view of "
    ) -> None:
        self.rows, self.start = rows, sentence
        self.asked: list[str] = []

    def probabilities(self, sentences: Sequence[str], words: Sequence[str]) -> Tensor:
        assert tuple(words) == ("front", "side", "back", "overhead")
        self.asked += sentences
        return torch.tensor([self.rows[sentence.removeprefix(self.start)] for sentence in sentences])


def tiny_bert(folder: Path, seed: int = 0) -> Path:
    """Write a random BERT of two layers that knows `WORDS`, in transformers' format."""
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "given.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokenizer = BertTokenizer(vocab=str(folder / "given.txt"))
    (folder / "given.txt").unlink()
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=32, initializer_range=0.3,
        )  # fmt: skip
        BertForMaskedLM(config).save_pretrained(folder)
    return folder
