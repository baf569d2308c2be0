"""Tests of the tokenizer of the captions."""

from __future__ import annotations

from pathlib import Path

from bozzetto_priors.objects import captions
from bozzetto_priors.training import tokenizer_and_encoder


def test_every_known_word_is_one_token_and_any_text_is_survived(tmp_path: Path) -> None:
    tokenizer = tokenizer_and_encoder.write_tokenizer(tmp_path)
    for word in {word for name in (*captions.NAMES, *captions.COLORS) for word in name.split()}:
        assert tokenizer.tokenize(word) == [f"{word}</w>"]
    known = set(tokenizer.get_vocab())
    for strange in ("", "Zyxwv", "caf\u00e9 \u732b!!", "a" * 500):
        ids = tokenizer(strange, padding="max_length", truncation=True).input_ids
        assert len(ids) == tokenizer_and_encoder.MAX_TOKENS
        assert set(tokenizer.tokenize(strange)) <= known
