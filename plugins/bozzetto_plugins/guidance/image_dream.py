"""Guidance by ImageDream: groups of views of the object of a photo, as a prior for scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.errors import ConfigError, ModelError
from bozzetto.kinds.score import Branch
from bozzetto.math.photos import backdrops, over, resize_masked
from bozzetto.types import Cameras, Guided, Reference, Rendered, ViewCondition
from bozzetto_plugins.guidance.diffusion_prior import dtype_of
from bozzetto_plugins.guidance.diffusion_prior_config import lacks_groups
from bozzetto_plugins.guidance.image_dream_config import ImageDreamConfig
from bozzetto_plugins.guidance.latent_prior import LatentPrior, encode_image
from bozzetto_plugins.guidance.model_families.imagedream import ImageDream as Family
from bozzetto_plugins.guidance.model_families.known import known_family
from bozzetto_plugins.guidance.model_families.networks import FamilyNetworks
from bozzetto_plugins.guidance.model_families.text_parts import digest_of
from bozzetto_plugins.guidance.photo_tokens import PhotoTokens
from bozzetto_plugins.guidance.stable_diffusion import texts_of
from bozzetto_plugins.score.config import DistillationConfig
from bozzetto_plugins.score.distillation import Distillation

SEEING: frozenset[Branch] = frozenset({"cond", "plain"})
"""Branches that are shown the photo."""


@dataclass(frozen=True)
class Shown:
    """The photo as the groups of one step are shown it, over the background of each."""

    latents: Float[Tensor, "G 1 C h w"]
    tokens: Float[Tensor, "G n E"]
    no_tokens: Float[Tensor, "1 n E"]
    """Tokens of no photo."""


class ImageDream:
    """Prior of ImageDream (Wang and Shi 2023, arXiv:2312.02201): text, a photo, and the cameras of a group of views.

    The photo is composited over the background of each group, which is measured in the rendering that is encoded, and
    over white before any was. It is encoded in each step. The unconditional prediction sees neither photo nor prompt.
    By itself the guidance's method is SDS. Random numbers are drawn from the given generator in the order: encoder
    sample, timesteps, noise.

    Args:
        model_folder: folder that `tools/convert_imagedream.py` made.
        device: where the networks run; rendered images must be on it.

    Raises:
        ModelError: the folder does not contain such a model.
    """

    def __init__(self, config: ImageDreamConfig, model_folder: Path, device: torch.device) -> None:
        self.config = config
        self.known = known_family(model_folder, "image-dream")
        dtype = dtype_of(config.dtype, self.known, device)
        self.networks = FamilyNetworks(model_folder, self.known, device, dtype, config.cpu_offload, config.image_size)
        family: Any = self.networks.family
        if not isinstance(family, Family):
            raise ModelError(f"{model_folder} is {self.known.name}, which is shown no photo.")
        self.family: Family = family
        self.photo = PhotoTokens(model_folder, device, dtype, config.cpu_offload)
        self._folder = model_folder
        self._score = Distillation(DistillationConfig(), "sds")

    @cached_property
    def text_model_id(self) -> str:
        """Hash of the text encoder, the data type and the number of the photo's tokens."""
        family = self.family
        return digest_of(self._folder, family.text_parts, self.known.name, self.networks.dtype, family.layout)

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "T N E"]:
        """Return float32 embeddings of T texts, with zeros in the place of the photo's tokens."""
        return self.family.layout.pack(self.family.encode_text(texts))

    def unknown_words(self, text: str) -> Sequence[str]:
        """Return nothing: the vocabulary is open."""
        return ()

    def needs_normal(self, step: int) -> bool:
        """Return false: normals are not read."""
        return False

    def __call__(
        self, rendered: Rendered, condition: ViewCondition, cameras: Cameras, step: int, generator: torch.Generator
    ) -> Guided:
        """Return the SDS loss `sds`.

        Raises:
            ConfigError: see `prior`.
            NonFiniteError: the image, its latents or the gradient contain NaN or infinity.
        """
        return self._score(self.prior(condition, cameras, step), rendered, step, generator)

    def prior(self, condition: ViewCondition, cameras: Cameras, step: int) -> LatentPrior:
        """Return the prior of the views of one step.

        Raises:
            ConfigError: there are no groups of views, or not exactly one photo.
        """
        if cameras.views_per_group < 2:
            raise ConfigError(f"guidance.model: {lacks_groups('ImageDream', 'views')}.")
        if len(condition.references) != 1:
            raise ConfigError(
                f"guidance: 'image-dream' is shown one photo, and there are {len(condition.references)}. Give one task "
                "the view source 'single-image'."
            )
        texts: dict[Branch, Tensor] = {
            branch: text[0] for branch, text in texts_of(condition).items() if branch != "negatives"
        }
        views, (photo,) = cameras.views_per_group, condition.references
        shown: list[Shown] = []

        def latents(rendered: Rendered, generator: torch.Generator) -> Tensor:
            if rendered.space != "rgb":
                raise ConfigError("guidance: 'image-dream' is shown a photo; render the scene in space 'rgb'.")
            behind = backdrops(rendered.image.detach(), rendered.opacity.detach(), views)
            shown[:] = [self.shown(photo, behind)]
            return encode_image(self.networks, rendered, self.config.encode == "sample", generator)

        def outputs(noisy: Tensor, timestep: Tensor, branches: Sequence[Branch]) -> Mapping[Branch, Tensor]:
            seen = shown[0] if shown else self.shown(photo, torch.ones(len(cameras) // views, 3))
            return self.outputs(noisy, timestep, {branch: texts[branch] for branch in branches}, seen, cameras)

        return LatentPrior(self.networks, "image-dream", latents, outputs, frozenset(texts), cameras=cameras)

    @torch.no_grad()
    def shown(self, photo: Reference, backdrop: Float[Tensor, "G 3"]) -> Shown:
        """Return the photo as it is shown to groups, over a colour for each."""
        networks, side = self.networks, (self.photo.size, self.photo.size)
        small, large = (
            torch.stack([over(image, mask, colour) for colour in backdrop.to(image)]).permute(0, 3, 1, 2)
            for image, mask in (resize_masked(photo.image, photo.mask, size) for size in (side, networks.image_size))
        )
        tokens, no_tokens = self.photo.encode(small.to(networks.device))
        return Shown(networks.encode(large.to(networks.device), None)[:, None], tokens, no_tokens)

    def outputs(
        self,
        noisy: Float[Tensor, "B C h w"],
        timestep: Int[Tensor, "B"],
        texts: Mapping[Branch, Float[Tensor, "B N E"]],
        shown: Shown,
        cameras: Cameras,
    ) -> Mapping[Branch, Tensor]:
        """Return the output of the network for each branch; all branches form one batch of groups."""
        views, more = cameras.views_per_group, self.family.photo_views
        latents: list[Tensor] = []
        words: list[Tensor] = []
        for branch, text in texts.items():
            photo = shown.latents if branch in SEEING else torch.zeros_like(shown.latents)
            latents.append(torch.cat([noisy.unflatten(0, (-1, views)), photo[:, :more]], dim=1))
            rows = _with_last(text.unflatten(0, (-1, views)), more).clone()
            tokens = shown.tokens if branch in SEEING else shown.no_tokens
            rows[:, :, -self.family.photo_tokens :] = tokens[:, None].to(rows)
            words.append(rows)
        times = _with_last(timestep.unflatten(0, (-1, views)), more).flatten().repeat(len(texts))
        output = self.networks.predict(torch.cat(latents).flatten(0, 1), times, torch.cat(words).flatten(0, 1), cameras)
        parts = output.unflatten(0, (len(texts), -1, views + more))[:, :, :views].flatten(1, 2)
        return dict(zip(texts, parts, strict=True))

    def rest(self) -> None:
        """Let the denoiser's weights be offloaded."""
        self.networks.rest()


def _with_last(values: Tensor, more: int) -> Tensor:
    """Return "G V ..." with the last of each group repeated `more` times."""
    return torch.cat([values, *[values[:, -1:]] * more], dim=1)
