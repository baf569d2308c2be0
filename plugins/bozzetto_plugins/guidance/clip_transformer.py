"""CLIP's text transformer, loaded without transformers, whose import takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from bozzetto_plugins.priors.folder_network import FolderNetwork


def quick_gelu(x: Tensor) -> Tensor:
    """Approximate the Gaussian error linear unit with a sigmoid (Hendrycks and Gimpel 2016, sec. 2)."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"quick_gelu": quick_gelu, "gelu": functional.gelu}


@dataclass(frozen=True)
class ClipSettings:
    """Settings of a `ClipTransformer`, with the names that they have in its `config.json`."""

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    use_attention_mask: bool = False
    """Ignore the tokens after the end of the text."""

    def __post_init__(self) -> None:
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(f"hidden_act: must be one of {', '.join(ACTIVATIONS)}, got {self.hidden_act!r}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size: must be a multiple of {self.num_attention_heads} heads")


class ClipTransformer(FolderNetwork):
    """Causal transformer over tokens (Radford et al. 2021, sec. 2.4). Weights have the names of transformers."""

    SETTINGS: ClassVar[type] = ClipSettings
    PREFIX: ClassVar[str] = "text_model."
    config: ClipSettings

    def __init__(self, settings: ClipSettings) -> None:
        super().__init__(settings)
        self.embeddings = _Embeddings(settings)
        self.encoder = nn.ModuleDict(
            {"layers": nn.ModuleList(_Layer(settings) for _ in range(settings.num_hidden_layers))}
        )
        self.final_layer_norm = nn.LayerNorm(settings.hidden_size, settings.layer_norm_eps)

    @property
    def layers(self) -> nn.ModuleList:
        """Layers, first to last."""
        layers = self.encoder["layers"]
        assert isinstance(layers, nn.ModuleList)  # as built
        return layers

    def forward(self, tokens: Int[Tensor, "T N"], mask: Int[Tensor, "T N"] | None = None) -> Float[Tensor, "T N E"]:
        """Return the last hidden states.

        Args:
            mask: 0 at tokens that are not attended to; None: all are.
        """
        allowed = None
        if mask is not None:
            earlier = torch.ones(mask.shape[1], mask.shape[1], dtype=torch.bool, device=mask.device).tril()
            allowed = mask.bool()[:, None, None] & earlier
        states = self.embeddings(tokens)
        for layer in self.layers:
            states = layer(states, allowed)
        result: Tensor = self.final_layer_norm(states)
        return result


class _Embeddings(nn.Module):
    """Sum of a token's and its position's embedding; not initialised, since torch imports its compiler for that."""

    def __init__(self, settings: ClipSettings) -> None:
        super().__init__()
        self.token_embedding, self.position_embedding = (
            nn.Embedding.from_pretrained(torch.empty(count, settings.hidden_size), freeze=False)
            for count in (settings.vocab_size, settings.max_position_embeddings)
        )

    def forward(self, tokens: Int[Tensor, "T N"]) -> Float[Tensor, "T N E"]:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        embedded: Tensor = self.token_embedding(tokens) + self.position_embedding(positions)
        return embedded


class _Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self, settings: ClipSettings) -> None:
        super().__init__()
        self.heads, width = settings.num_attention_heads, settings.hidden_size
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, states: Float[Tensor, "T N E"], allowed: Bool[Tensor, "T 1 N N"] | None) -> Tensor:
        queries, keys, values = (
            project(states).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=allowed, is_causal=allowed is None
        )
        attended: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return attended


class _Network(nn.Module):
    """Two linear layers."""

    def __init__(self, settings: ClipSettings) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[settings.hidden_act]
        self.fc1 = nn.Linear(settings.hidden_size, settings.intermediate_size)
        self.fc2 = nn.Linear(settings.intermediate_size, settings.hidden_size)

    def forward(self, states: Float[Tensor, "T N E"]) -> Float[Tensor, "T N E"]:
        result: Tensor = self.fc2(self.activation(self.fc1(states)))
        return result


class _Layer(nn.Module):
    """Attention and a small network, each added to its normalised input's residual."""

    def __init__(self, settings: ClipSettings) -> None:
        super().__init__()
        width, eps = settings.hidden_size, settings.layer_norm_eps
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.self_attn, self.mlp = _Attention(settings), _Network(settings)

    def forward(self, states: Float[Tensor, "T N E"], allowed: Bool[Tensor, "T 1 N N"] | None) -> Tensor:
        states = states + self.self_attn(self.layer_norm1(states), allowed)
        result: Tensor = states + self.mlp(self.layer_norm2(states))
        return result
