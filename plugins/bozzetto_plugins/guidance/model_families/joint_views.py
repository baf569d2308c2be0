"""Attention across the views of a group, and the camera that MVDream is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto.errors import ModelError
from bozzetto.math.cameras import unit_distance

__all__ = ["JointViews", "camera_labels", "join_views", "require_cameras"]

CAMERA_NUMBERS = 16


class JointViews:
    """Attention processor that lets each token of a view see those of all views of its group (MVDream, sec. 3.1).

    Tokens "(b f) l c" are attended to as "b (f l) c", by the weights of the network as they are. With groups of one
    view it is diffusers' own processor.
    """

    def __init__(self) -> None:
        self.views_per_group = 1
        self.usual = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, "B L C"],
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Return the attended tokens of all views."""
        joint = hidden_states.unflatten(0, (-1, self.views_per_group)).flatten(1, 2)
        said: Tensor = self.usual(attn, joint, encoder_hidden_states, attention_mask, temb)
        tokens: Tensor = said.unflatten(1, (self.views_per_group, -1)).flatten(0, 1)
        return tokens


def join_views(denoiser: nn.Module) -> JointViews:
    """Give all self-attention of a denoiser one processor of joint views; attention to text stays that of each view."""
    network: Any = denoiser
    joint = JointViews()
    network.set_attn_processor(
        {name: joint if name.endswith("attn1.processor") else usual for name, usual in network.attn_processors.items()}
    )
    return joint


def camera_labels(c2w: Float[Tensor, "B 4 4"]) -> Float[Tensor, "B 16"]:
    """Return the numbers of a camera that MVDream is told: its matrix row by row, at distance 1 from the origin."""
    return unit_distance(c2w).flatten(1)


def require_cameras(denoiser: nn.Module, folder: Path, cure: str) -> None:
    """Raise `ModelError` with the cure if a denoiser is not told the 16 numbers of a camera."""
    config: Any = denoiser.config
    numbers = config.projection_class_embeddings_input_dim
    if config.class_embed_type != "projection" or numbers != CAMERA_NUMBERS:
        raise ModelError(
            f"{folder}: the denoiser is told {numbers!r} numbers of a camera, and a model of joint views reads "
            f"{CAMERA_NUMBERS}. {cure}"
        )
