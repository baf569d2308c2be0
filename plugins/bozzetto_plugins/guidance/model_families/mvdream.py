"""MVDream (Shi et al. 2023, arXiv:2308.16512): Stable Diffusion 2.1 for the views of a group, told their cameras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.types import Cameras
from bozzetto_plugins.guidance.clip_text import ClipText
from bozzetto_plugins.guidance.model_families.family import ModelParts
from bozzetto_plugins.guidance.model_families.joint_views import camera_labels, join_views, require_cameras
from bozzetto_plugins.guidance.model_families.latent_map import AffineLatents
from bozzetto_plugins.guidance.model_families.schedules import read_preserving
from bozzetto_plugins.guidance.model_families.words import Words, WordsLayout
from bozzetto_plugins.guidance.weights import reading


class MVDream(AffineLatents):
    """Implements `bozzetto_plugins.guidance.model_families.family.Family`.

    All branches are told the same cameras. A prompt needs no words for the view. Groups are never split: a batch is of
    whole groups, branch after branch.
    """

    text_parts = ("tokenizer", "text_encoder")

    def __init__(self, parts: ModelParts) -> None:
        denoiser: Any = parts.denoiser
        with reading("MVDream's settings", parts.folder):
            super().__init__(parts.vae)
            self.image_size = parts.image_size or int(denoiser.config.sample_size) * self.pixels_per_latent
            self.text = ClipText(parts.folder, parts.device, parts.dtype)
            self.layout = WordsLayout(self.text.length, self.text.width)
        require_cameras(denoiser, parts.folder, "Convert the published weights with tools/convert_mvdream.py.")
        self.schedule = read_preserving(parts.folder, parts.device)
        self.joint = join_views(denoiser)

    def output(
        self,
        denoiser: nn.Module,
        noisy: Float[Tensor, "B C h w"],
        timestep: Int[Tensor, "B"],
        words: Words,
        cameras: Cameras,
    ) -> Float[Tensor, "B C h w"]:
        """Return what the denoiser says of whole groups."""
        self.joint.views_per_group = cameras.views_per_group
        told = camera_labels(cameras.c2w).repeat(len(noisy) // len(cameras), 1)
        said: Tensor = denoiser(
            noisy, timestep, encoder_hidden_states=words.tokens, class_labels=told.to(noisy.dtype)
        ).sample  # fmt: skip
        return said

    def encode_text(self, texts: Sequence[str]) -> Words:
        """Encode texts with the final hidden states of a CLIP that ends at the penultimate layer of OpenCLIP-H."""
        return Words(self.text.encode(texts))
