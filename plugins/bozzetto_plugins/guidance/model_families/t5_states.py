"""Hidden states of T5's encoder."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from bozzetto_plugins.guidance.model_families.family import ModelParts
from bozzetto_plugins.guidance.model_families.text_parts import loaded_encoder, loaded_tokenizer, tokens_of

__all__ = ["t5_states"]


def t5_states(
    parts: ModelParts, tokenizer: str, encoder: str, texts: Sequence[str], length: int, masked: bool
) -> tuple[Float[Tensor, "T N E"], Bool[Tensor, "T N"]]:
    """Encode texts, and return their hidden states, float32, and which are of the text and not padding.

    Args:
        tokenizer: folder of the tokenizer in the model folder.
        encoder: folder of the encoder, which is freed before this returns.
        length: tokens of a text.
        masked: whether the encoder is told which tokens are padding.
    """
    path = parts.folder / tokenizer
    tokens = tokens_of(loaded_tokenizer(path, "AutoTokenizer"), texts, length, path)
    mask = tokens.attention_mask.to(parts.device)
    with loaded_encoder(parts.folder / encoder, "T5EncoderModel", parts.dtype, parts.device) as network:
        said = network(tokens.input_ids.to(parts.device), attention_mask=mask if masked else None)
        return said.last_hidden_state.float(), mask.bool()
