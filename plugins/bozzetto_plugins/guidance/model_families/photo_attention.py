"""Attention to the tokens of a photo beside those of the text, as in IP-Adapter (Ye et al. 2023, arXiv:2308.06721)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers.models.attention_processor import Attention
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from bozzetto.errors import ModelError

__all__ = ["PhotoAttention", "attend_to_photo"]


class PhotoAttention(nn.Module):
    """Attention processor whose last tokens are those of a photo, with keys and values of their own.

    The attention to them is added to that to the text, with weight 1.

    Args:
        token_width: width of a token.
        width: width of keys and values.
        tokens: number of the photo's tokens.
    """

    def __init__(self, token_width: int, width: int, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.to_k_ip = nn.Linear(token_width, width, bias=False)
        self.to_v_ip = nn.Linear(token_width, width, bias=False)

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, "B L C"],
        encoder_hidden_states: Float[Tensor, "B N E"],
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Return the attended tokens."""
        text, photo = encoder_hidden_states[:, : -self.tokens], encoder_hidden_states[:, -self.tokens :]

        def heads(values: Tensor) -> Tensor:
            split: Tensor = values.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            return split

        query = heads(attn.to_q(hidden_states))
        of_text = scaled_dot_product_attention(query, heads(attn.to_k(text)), heads(attn.to_v(text)))
        of_photo = scaled_dot_product_attention(query, heads(self.to_k_ip(photo)), heads(self.to_v_ip(photo)))
        said: Tensor = (of_text + of_photo).transpose(1, 2).flatten(2)
        for layer in attn.to_out:
            said = layer(said)
        return said


def attend_to_photo(denoiser: nn.Module, tokens: int, weights: Mapping[str, Tensor]) -> None:
    """Let all attention to text attend to a photo's tokens, too.

    Args:
        tokens: number of the photo's tokens, which follow those of the text.
        weights: of the added layers, by their names in the changed denoiser.

    Raises:
        ModelError: the weights are of another network.
    """
    network: Any = denoiser
    processors = dict(network.attn_processors)
    added: dict[str, Tensor] = {}
    for name in processors:
        if name.endswith("attn2.processor"):
            layer: Any = network.get_submodule(name.removesuffix(".processor")).to_k
            processors[name] = made = PhotoAttention(layer.in_features, layer.out_features, tokens)
            made.to(device=layer.weight.device, dtype=layer.weight.dtype)
            added |= {f"{name}.{part}": value for part, value in made.state_dict().items()}
    shapes, given = ({name: value.shape for name, value in some.items()} for some in (added, weights))
    wrong = sorted(name for name in {*shapes, *given} if shapes.get(name) != given.get(name))
    if wrong:
        raise ModelError(
            f"image_prompt: {wrong[0]} is not as the denoiser has it. The parts are of different models: convert the "
            "published file again with tools/convert_imagedream.py."
        )
    network.set_attn_processor(processors)
    network.load_state_dict(weights, strict=False)
    network.requires_grad_(False).eval()
