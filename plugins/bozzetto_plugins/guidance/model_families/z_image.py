"""Z-Image base (Tongyi-MAI 2025, arXiv:2511.22699): a rectified flow in one stream of text and image, told by Qwen3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.errors import ModelError
from bozzetto.model_files import read_settings
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.model_families.family import ModelParts
from bozzetto_plugins.guidance.model_families.latent_map import AffineLatents
from bozzetto_plugins.guidance.model_families.qwen_states import TEXT_LENGTH, qwen_states
from bozzetto_plugins.guidance.model_families.schedules import FLOW_TIMES, read_flow
from bozzetto_plugins.guidance.model_families.words import Words, WordsLayout
from bozzetto_plugins.guidance.weights import reading

NATIVE_SIZE = 1024
"""Side of the images, pixels, by default in diffusers' pipeline: no setting of the model says it."""
PATCH = 2


class ZImage(AffineLatents):
    """Implements `bozzetto_plugins.guidance.model_families.family.Family`.

    The network's time is `1 - sigma`, and its output `x0 - eps`, the negative of a flow's velocity. Texts have no
    padding: the network is given as many tokens as each has.
    """

    text_parts = ("tokenizer", "text_encoder")

    def __init__(self, parts: ModelParts) -> None:
        self.parts = parts
        denoiser: Any = parts.denoiser
        with reading("Z-Image's settings", parts.folder):
            super().__init__(parts.vae)
            self.image_size = parts.image_size or NATIVE_SIZE
            width = int(read_settings(parts.folder / "text_encoder" / "config.json")["hidden_size"])
            self.layout = WordsLayout(TEXT_LENGTH, width, masked=True)
            patch = PATCH * self.pixels_per_latent
            tokens = (self.image_size // patch) ** 2
        if denoiser.config.in_channels != self.latent_channels or self.image_size % patch:
            raise ModelError(
                f"{parts.folder}: images of {self.image_size} pixels and {self.latent_channels} latent channels do not "
                f"fit a denoiser of {denoiser.config.in_channels} channels and patches of {patch} pixels."
            )
        self.schedule = read_flow(parts.folder, tokens, parts.device)

    def output(
        self,
        denoiser: nn.Module,
        noisy: Float[Tensor, "B C h w"],
        timestep: Int[Tensor, "B"],
        words: Words,
        cameras: Cameras,
    ) -> Float[Tensor, "B C h w"]:
        """Return the velocity `eps - x0`.

        The numbers of tokens are read from the device, once a step: the network takes lists of texts.
        """
        assert words.mask is not None  # the layout has one
        counts = words.mask.sum(dim=1).tolist()
        time = (FLOW_TIMES - self.schedule.network_time(timestep)) / FLOW_TIMES
        said = denoiser(
            list(noisy.unsqueeze(2).unbind(0)),
            time,
            [tokens[:count] for tokens, count in zip(words.tokens, counts, strict=True)],
            return_dict=False,
        )[0]
        return -torch.stack([each.float() for each in said]).squeeze(2)

    def encode_text(self, texts: Sequence[str]) -> Words:
        """Encode texts with the penultimate hidden states of the language model."""
        tokens, mask = qwen_states(self.parts, "Qwen3Model", texts, [-2], thinking=True)
        return Words(tokens, mask=mask)
