"""ImageDream (Wang and Shi 2023, arXiv:2312.02201): MVDream that is also shown a photo of the object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from bozzetto.model_files import read_settings
from bozzetto.types import Cameras
from bozzetto.weights.folder import IMAGE_PROMPT
from bozzetto_plugins.guidance.clip_text import ClipText
from bozzetto_plugins.guidance.image_prompt import ATTENTION, image_prompt_weights
from bozzetto_plugins.guidance.model_families.family import ModelParts
from bozzetto_plugins.guidance.model_families.joint_views import camera_labels, join_views, require_cameras
from bozzetto_plugins.guidance.model_families.latent_map import AffineLatents
from bozzetto_plugins.guidance.model_families.photo_attention import attend_to_photo
from bozzetto_plugins.guidance.model_families.schedules import read_preserving
from bozzetto_plugins.guidance.model_families.words import Words, WordsLayout
from bozzetto_plugins.guidance.weights import reading

CURE = "Convert the published weights with tools/convert_imagedream.py."


class ImageDream(AffineLatents):
    """Implements `bozzetto_plugins.guidance.model_families.family.Family`.

    The last `photo_tokens` tokens of `Words` are those of the photo; texts are encoded with zeros in their place. If
    `photo_views` is 1, a group has one view more, the last: the photo's latents without noise, whose camera is all
    zeros. What is said of it means nothing.
    """

    text_parts = ("tokenizer", "text_encoder")

    def __init__(self, parts: ModelParts) -> None:
        denoiser: Any = parts.denoiser
        with reading("ImageDream's settings", parts.folder):
            super().__init__(parts.vae)
            self.image_size = parts.image_size or int(denoiser.config.sample_size) * self.pixels_per_latent
            self.text = ClipText(parts.folder, parts.device, parts.dtype)
            settings = read_settings(parts.folder / IMAGE_PROMPT / "config.json")
            self.photo_tokens = int(settings["num_queries"])
            self.photo_views = int(settings["photo_is_a_view"] is True)
            self.layout = WordsLayout(self.text.length + self.photo_tokens, self.text.width)
            layers = image_prompt_weights(parts.folder, ATTENTION)
        require_cameras(denoiser, parts.folder, CURE)
        attend_to_photo(denoiser, self.photo_tokens, layers)
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
        """Return what the denoiser says of whole groups, each with the photo as its last view if `photo_views` is 1."""
        views = cameras.views_per_group
        self.joint.views_per_group = views + self.photo_views
        groups = camera_labels(cameras.c2w).unflatten(0, (-1, views))
        told = pad(groups, (0, 0, 0, self.photo_views)).flatten(0, 1)
        said: Tensor = denoiser(
            noisy, timestep, encoder_hidden_states=words.tokens,
            class_labels=told.repeat(len(noisy) // len(told), 1).to(noisy.dtype),
        ).sample  # fmt: skip
        return said

    def encode_text(self, texts: Sequence[str]) -> Words:
        """Encode texts as MVDream does, followed by zeros in the place of the photo's tokens."""
        return Words(pad(self.text.encode(texts), (0, 0, 0, self.photo_tokens)))
