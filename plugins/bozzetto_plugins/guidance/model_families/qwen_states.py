"""Hidden states of the language model Qwen3, as FLUX.2 klein and Z-Image read prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bozzetto_plugins.guidance.model_families.family import ModelParts
from bozzetto_plugins.guidance.model_families.text_parts import loaded_encoder, loaded_tokenizer, tokens_of
from bozzetto_plugins.guidance.weights import reading

__all__ = ["TEXT_LENGTH", "qwen_states"]

TEXT_LENGTH = 512
"""Tokens of a text, as diffusers' pipelines have it by default."""


def qwen_states(
    parts: ModelParts, kind: str, texts: Sequence[str], layers: Sequence[int], thinking: bool
) -> tuple[Float[Tensor, "T N E"], Bool[Tensor, "T N"]]:
    """Encode texts as a user's message, and return hidden states, float32, and which are of the text, not padding.

    Args:
        kind: class of the language model in transformers.
        layers: hidden states that are put side by side; 0 are the embeddings, -1 is the last.
        thinking: whether the message lets the model think, which changes the text that is encoded.
    """
    path = parts.folder / "tokenizer"
    tokenizer = loaded_tokenizer(path, "AutoTokenizer")
    with reading("The tokenizer", path):
        messages = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True,
                enable_thinking=thinking,
            )
            for text in texts
        ]  # fmt: skip
    tokens = tokens_of(tokenizer, messages, TEXT_LENGTH, path)
    mask = tokens.attention_mask.to(parts.device)
    with loaded_encoder(parts.folder / "text_encoder", kind, parts.dtype, parts.device) as network:
        said = network(
            input_ids=tokens.input_ids.to(parts.device), attention_mask=mask, output_hidden_states=True,
            use_cache=False,
        ).hidden_states  # fmt: skip
        return torch.cat([said[layer] for layer in layers], dim=-1).float(), mask.bool()
