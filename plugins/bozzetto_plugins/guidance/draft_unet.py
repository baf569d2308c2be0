"""A denoiser that sees, beside the noisy latents, a draft of the picture its text means."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import TextTimeEmbedding
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from jaxtyping import Float, Num
from torch import Tensor, nn

HEADS = 4
"""Of the attention that pools the text for the draft."""
LEVELS, LAST_STEP = 41, 999
"""At so many timesteps, evenly spaced from 0 to the last, the mix with the draft is kept."""


class DraftUNet(UNet2DConditionModel):
    """diffusers' denoiser with as many input channels again, for latents that are painted from the text.

    Where all is noise the best that can be predicted is the mean of the pictures a text may mean. A convolution makes
    such a mean from the text slowly, and what it makes of small differences, as between a front and a back, stays
    faint; a perceptron from pooled text to latents learns it in minutes. Given this draft as Zero123's denoiser is
    given its photo, what is left to the convolutions is to make one sharp picture of it. They are slow to pass even the
    draft on, so what is said is a mix of their own output and of the draft, at each noise level another.

    It is configured, called, saved and loaded as its parent; `in_channels` counts the noisy latents alone. The pooled
    text is as wide as the time embedding, the draft's layers twice as wide.
    """

    @functools.wraps(UNet2DConditionModel.__init__)
    def __init__(self, *args: Any, **named: Any) -> None:  # diffusers reads the names from what is wrapped
        super().__init__(*args, **named)
        config = self.config
        channels, first, kernel = config.in_channels, config.block_out_channels[0], config.conv_in_kernel
        self.conv_in = nn.Conv2d(2 * channels, first, kernel, padding=kernel // 2)
        pooled = self.time_embedding.linear_2.out_features
        width = 2 * pooled
        self.draft_text = TextTimeEmbedding(config.cross_attention_dim, pooled, HEADS)
        self.draft = nn.Sequential(
            nn.Linear(pooled, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, channels * config.sample_size**2),
        )  # fmt: skip
        self.draft_mix = nn.Parameter(torch.stack([torch.ones(LEVELS), torch.zeros(LEVELS)]))

    def paint(self, text: Float[Tensor, "B N E"]) -> Float[Tensor, "B C h w"]:
        """The draft: about the mean of the latents of all pictures that a text may mean."""
        size = self.config.sample_size
        return self.draft(self.draft_text(text)).unflatten(1, (self.config.in_channels, size, size))

    def mix(self, timestep: Num[Tensor, "B"]) -> Float[Tensor, "2 B"]:
        """How much counts, of what the parent says and of the draft: linear between `LEVELS` levels of noise."""
        place = timestep.clamp(0, LAST_STEP) * ((LEVELS - 1) / LAST_STEP)
        below = place.long().clamp(max=LEVELS - 2)
        return torch.lerp(self.draft_mix[:, below], self.draft_mix[:, below + 1], (place - below).to(self.draft_mix))

    def forward(
        self,
        sample: Float[Tensor, "B C h w"],
        timestep: Tensor | float | int,
        encoder_hidden_states: Float[Tensor, "B N E"],
        timestep_cond: Tensor | None = None,
        class_labels: Tensor | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        added_cond_kwargs: dict[str, Tensor] | None = None,
        return_dict: bool = True,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """What the parent says of noisy latents and draft, mixed with the draft; other arguments are the parent's."""
        draft = self.paint(encoder_hidden_states)
        both = torch.cat([sample, draft], dim=1)
        said = super().forward(
            both, timestep, encoder_hidden_states, timestep_cond=timestep_cond, class_labels=class_labels,
            cross_attention_kwargs=cross_attention_kwargs, added_cond_kwargs=added_cond_kwargs, return_dict=False,
        )[0]  # fmt: skip
        times = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        own, share = self.mix(times).view(2, -1, 1, 1, 1)
        said = own * said + share * draft
        return UNet2DConditionOutput(sample=said) if return_dict else (said,)


def unet_class(folder: Path) -> type[UNet2DConditionModel]:
    """The class of the denoiser in `folder`, by its config: ours or diffusers' own."""
    try:
        named = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError):
        return UNet2DConditionModel  # which tells, being loaded, what is wrong
    return DraftUNet if named == DraftUNet.__name__ else UNet2DConditionModel
