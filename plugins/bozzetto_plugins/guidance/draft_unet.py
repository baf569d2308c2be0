"""A denoiser that sees, beside the noisy latents, a draft of the picture its text means."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor, nn


class DraftUNet(UNet2DConditionModel):
    """diffusers' denoiser with as many input channels again, for latents that are painted from the pooled text.

    Where all is noise the best that can be predicted is the mean of the pictures a text may mean. A convolution makes
    such a mean from the text slowly, and what it makes of small differences, as between a front and a back, stays
    faint; a perceptron from text to latents learns it in minutes. Given this draft as Zero123's denoiser is given
    its photo, what is left to the convolutions is to make one sharp picture of it.

    It is configured, called, saved and loaded as its parent. `in_channels` counts the noisy latents alone, and
    `addition_embed_type` has to be `text`. The draft's layers are twice as wide as the time embedding.

    Raises:
        ValueError: text is not pooled.
    """

    @functools.wraps(UNet2DConditionModel.__init__)
    def __init__(self, *args: Any, **named: Any) -> None:  # diffusers reads the names from what is wrapped
        super().__init__(*args, **named)
        config = self.config
        if config.addition_embed_type != "text":
            raise ValueError(
                f"A DraftUNet paints from pooled text; addition_embed_type is {config.addition_embed_type!r}"
            )
        first, kernel = config.block_out_channels[0], config.conv_in_kernel
        self.conv_in = nn.Conv2d(2 * config.in_channels, first, kernel, padding=kernel // 2)
        pooled, latents = self.add_embedding.proj.out_features, config.in_channels * config.sample_size**2
        width = 2 * pooled
        self.draft = nn.Sequential(
            nn.Linear(pooled, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, latents)
        )

    def paint(self, text: Float[Tensor, "B N E"]) -> Float[Tensor, "B C h w"]:
        """The draft: about the mean of the latents of all pictures that a text may mean."""
        size = self.config.sample_size
        return self.draft(self.add_embedding(text)).unflatten(1, (self.config.in_channels, size, size))

    def forward(
        self,
        sample: Float[Tensor, "B C h w"],
        timestep: Tensor | float | int,
        encoder_hidden_states: Float[Tensor, "B N E"],
        **named: Any,
    ) -> Any:
        """What the parent says of noisy latents and their draft; `named` are its other arguments."""
        return super().forward(
            torch.cat([sample, self.paint(encoder_hidden_states)], dim=1), timestep, encoder_hidden_states, **named
        )


def unet_class(folder: Path) -> type[UNet2DConditionModel]:
    """The class of the denoiser in `folder`, by its config: ours or diffusers' own."""
    try:
        named = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError):
        return UNet2DConditionModel  # which tells, being loaded, what is wrong
    return DraftUNet if named == DraftUNet.__name__ else UNet2DConditionModel
