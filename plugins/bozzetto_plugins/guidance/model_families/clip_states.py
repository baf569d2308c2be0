"""Hidden states and pooled vector of a CLIP text encoder, as SDXL and Stable Diffusion 3 read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from bozzetto_plugins.guidance.model_families.family import ModelParts
from bozzetto_plugins.guidance.model_families.text_parts import loaded_encoder, loaded_tokenizer, tokens_of

__all__ = ["ClipStates", "clip_states"]


@dataclass(frozen=True)
class ClipStates:
    """Encoded texts, float32."""

    tokens: Float[Tensor, "T N E"]
    """Penultimate hidden states."""
    pooled: Float[Tensor, "T P"]
    """Projected vector of an encoder with a projection, else the final state of the last token."""


def clip_states(
    parts: ModelParts, tokenizer: str, encoder: str, kind: str, texts: Sequence[str], length: int
) -> ClipStates:
    """Encode texts with one encoder, which is freed before this returns.

    Args:
        tokenizer: folder of the tokenizer in the model folder.
        encoder: folder of the encoder.
        kind: class of the encoder in transformers.
        length: tokens of a text, fewer if the tokenizer knows fewer.
    """
    path = parts.folder / tokenizer
    read = loaded_tokenizer(path, "CLIPTokenizer")
    tokens = tokens_of(read, texts, min(length, read.model_max_length), path)
    with loaded_encoder(parts.folder / encoder, kind, parts.dtype, parts.device) as network:
        said = network(tokens.input_ids.to(parts.device), output_hidden_states=True)
        pooled = said.text_embeds if hasattr(said, "text_embeds") else said.pooler_output
        return ClipStates(said.hidden_states[-2].float(), pooled.float())
