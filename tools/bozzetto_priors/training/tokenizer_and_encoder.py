"""Tokenizer and text encoder in CLIP's formats, made for the training captions."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from bozzetto_priors.objects.captions import FILLERS, PREFIXES, SUFFIXES, plain_captions

START, END = "<|startoftext|>", "<|endoftext|>"
MAX_TOKENS = 32
WIDTH = 128


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """Train a byte-level BPE on the captions and save it in CLIP's format.

    Every byte has a token, within a word and at its end, so any text is tokenised without loss.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    trainer = trainers.BpeTrainer(
        vocab_size=2600, initial_alphabet=alphabet, end_of_word_suffix="</w>", min_frequency=1
    )
    texts = [*(one.text for one in plain_captions()), *[" ".join((*FILLERS, *PREFIXES, *SUFFIXES))] * 50]
    learner.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(byte + "</w>" for byte in alphabet), *(a + b for a, b in merges), START, END]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer = CLIPTokenizer.from_pretrained(str(folder), model_max_length=MAX_TOKENS)
    tokenizer.save_pretrained(str(folder))
    return tokenizer


def tokens_of(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Return padded token ids "B N"."""
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Build an untrained CLIPTextModel with three layers of width 128.

    Token embeddings are initialised with unit variance: at CLIP's deviation of 0.02 the layers would dominate them.
    """
    ids = tokenizer.get_vocab()
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=max(ids.values()) + 1,
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=WIDTH,
            bos_token_id=ids[START],
            eos_token_id=ids[END],
            pad_token_id=ids[END],
        )
    )
    embeddings = encoder.get_input_embeddings()
    assert isinstance(embeddings, torch.nn.Embedding)
    torch.nn.init.normal_(embeddings.weight)
    return encoder
