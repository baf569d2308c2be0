"""Score distillation from a latent diffusion model conditioned on a photo and a relative pose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.errors import ConfigError, ModelError
from bozzetto.kinds.score import Branch
from bozzetto.math.photos import over, resize_masked
from bozzetto.math.relative_pose import PoseConvention, nearness, relative_pose
from bozzetto.types import Cameras, Guided, Reference, Rendered, ViewCondition
from bozzetto_plugins.guidance.config import Zero123Config
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.image_embedding import POSE_WIDTH, ImageEmbedding, load_projection
from bozzetto_plugins.guidance.latent_prior import LatentPrior, encode_image
from bozzetto_plugins.guidance.precision import choose_dtype
from bozzetto_plugins.guidance.settings_change import score_of_changed
from bozzetto_plugins.guidance.zero123_elevation import CANDIDATES_DEG, estimate_elevation_deg, likeliest_deg
from bozzetto_plugins.guidance.zero123_views import EncodedReference, Views, angles_deg, spherical
from bozzetto_plugins.priors.camera_denoiser import RECALLED_NUMBERS, camera_numbers
from bozzetto_plugins.priors.photo_recall import PhotoRecall
from bozzetto_plugins.score.distillation import Distillation

WHITE = 1.0


class Zero123:
    """SDS from Zero-1-to-3 (Liu et al. 2023) and similar models: novel views of the object of a photo.

    The denoiser reads the noisy latents concatenated to those of the photo, and attends to one token computed from the
    photo's embedding and the pose of the view relative to the photo's camera. The unconditional branch zeroes both.
    Photos are part of the condition, from the stage's view sources. Random numbers are drawn from the given generator
    in the order: encoder sample, timesteps, noise.

    If the denoiser remembers solids (`CameraUNet`), a photo's embedding is the recalled thing (`PhotoRecall`), and the
    denoiser receives the exact cameras of the views in addition to the token.

    Raises:
        ModelError: the folder does not contain such a model.
    """

    text_model_id = "none"

    def __init__(self, config: Zero123Config, model_folder: Path, device: torch.device) -> None:
        dtype = choose_dtype(config.dtype, device)
        self.config = config
        self.projection = load_projection(model_folder, device)
        self.embedding = ImageEmbedding(model_folder, device, dtype)
        self.denoiser = Denoiser(
            model_folder, device, dtype, config.cpu_offload, config.attention_slicing, config.channels_last,
            image_conditioned=True, encode_views=config.encode_views, compiled=config.compile_networks,
        )  # fmt: skip
        self.recall = (
            PhotoRecall(self.denoiser.unet.memory, self.embedding.encode) if self.denoiser.reads_cameras else None
        )
        width = self.embedding.width if self.recall is None else RECALLED_NUMBERS
        if self.projection.in_features != width + POSE_WIDTH:
            raise ModelError(
                f"{model_folder}: the image embedding has {width} numbers and a pose {POSE_WIDTH}, the "
                f"layer that joins them reads {self.projection.in_features}. The parts are of different models."
            )
        self.convention: PoseConvention = config.pose_convention_of(model_folder.name)
        self._score = Distillation(config.as_score(), "sds")
        self._photos: tuple[Reference, ...] = ()
        self._encoded: tuple[EncodedReference, ...] = ()

    def reconfigure(self, config: Zero123Config) -> None:
        """Use other settings of SDS from the next step on. Raises `ConfigError` if one of the model differs."""
        self._score.reconfigure(score_of_changed(self.config, config))
        self.config = config

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "T N E"]:
        """Return no tokens: the model does not read text."""
        return torch.zeros(len(texts), 0, self.denoiser.text_width, device=self.denoiser.device)

    def unknown_words(self, text: str) -> Sequence[str]:
        """Return nothing: the model does not read text."""
        return ()

    def needs_normal(self, step: int) -> bool:
        """Return False: normals are never read."""
        return False

    def __call__(
        self, rendered: Rendered, condition: ViewCondition, cameras: Cameras, step: int, generator: torch.Generator
    ) -> Guided:
        """Return the SDS loss `sds` of views over white.

        Raises:
            ConfigError: the condition has no photo, or the scene is not rendered in RGB.
            NonFiniteError: the image, its latents or the gradient contain NaN or infinity.
        """
        return self._score(self.prior(condition, cameras, step), rendered, step, generator)

    def prior(self, condition: ViewCondition, cameras: Cameras, step: int) -> LatentPrior:
        """Return the prior of the views of one step: `cond` sees the photos, `uncond` none.

        Raises:
            ConfigError: the condition has no photo.
        """
        photos = self.encoded(condition.references)
        views = self.views(photos, cameras)
        return LatentPrior(
            self.denoiser,
            "zero123",
            self._latents,
            lambda noisy, timestep, branches: self.outputs(noisy, timestep, photos, views, branches),
            frozenset({"cond", "uncond"}),
            view_weight=self._angle_weight(photos, cameras) if self.config.angle_scale else None,
            cameras=cameras,
        )

    def _latents(self, rendered: Rendered, generator: torch.Generator) -> Float[Tensor, "B C h w"]:
        if rendered.space != "rgb":
            raise ConfigError("guidance: 'zero123' compares colours with a photo; render the scene in space 'rgb'.")
        return encode_image(self.denoiser, rendered, self.config.encode == "sample", generator)

    def encoded(self, photos: tuple[Reference, ...]) -> tuple[EncodedReference, ...]:
        """Return the encoded photos; recomputed only if the photos change.

        Raises:
            ConfigError: there is no photo.
        """
        if not photos:
            raise ConfigError("guidance: 'zero123' needs a photo. Give a task the view source 'single-image'.")
        if len(photos) != len(self._photos) or any(a is not b for a, b in zip(photos, self._photos, strict=True)):
            self._photos, self._encoded = photos, tuple(self._encode(photo) for photo in photos)
        return self._encoded

    @torch.no_grad()
    def _encode(self, photo: Reference) -> EncodedReference:
        image, mask = resize_masked(photo.image, photo.mask, self.denoiser.image_size)
        white = over(image, mask, WHITE).permute(2, 0, 1)[None].to(self.denoiser.device)
        latents = self.denoiser.encode(white, None) / self.denoiser.vae.config.scaling_factor
        embedding = self.embedding.encode(white) if self.recall is None else self.recall(photo).recalled.numbers()
        return EncodedReference(latents, embedding, spherical(photo.camera), photo.camera.position)

    def views(self, photos: Sequence[EncodedReference], cameras: Cameras) -> Views:
        """Return the conditioning of cameras relative to the photos."""
        to = spherical(cameras)
        poses = [relative_pose(to, photo.camera.to(to).expand_as(to), self.convention) for photo in photos]
        return Views(
            torch.stack([self.tokens(photo, pose) for photo, pose in zip(photos, poses, strict=True)]),
            nearness(angles_deg(photos, cameras)),
            camera_numbers(cameras) if self.denoiser.reads_cameras else None,
        )

    def tokens(self, photo: EncodedReference, pose: Float[Tensor, "B 4"]) -> Float[Tensor, "B 1 E"]:
        """Return the conditioning tokens for poses relative to a photo."""
        embedding = photo.embedding.expand(len(pose), -1)
        token: Tensor = self.projection(torch.cat([embedding, pose.to(embedding)], dim=1))
        return token[:, None]

    def outputs(
        self, noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"], photos: Sequence[EncodedReference],
        views: Views, branches: Sequence[Branch],
    ) -> Mapping[Branch, Tensor]:  # fmt: skip
        """Return the output of the network for each branch; all photos and the unconditional branch form one batch."""
        context: list[Tensor] = []
        tokens: list[Tensor] = []
        for branch in branches:
            seen = branch == "cond"
            context += [photo.latents.expand_as(noisy) for photo in photos] if seen else [torch.zeros_like(noisy)]
            tokens += list(views.tokens) if seen else [torch.zeros_like(views.tokens[0])]
        parts = len(context)
        inputs = torch.cat([noisy.repeat(parts, 1, 1, 1), torch.cat(context)], dim=1)
        told = () if views.cameras is None else (views.cameras.repeat(parts, 1),)
        output = self.denoiser.predict(inputs, timestep.repeat(parts), torch.cat(tokens), *told)
        each = output.unflatten(0, (parts, len(noisy))).split([len(photos) if b == "cond" else 1 for b in branches])
        nearness = views.nearness[:, :, None, None, None]
        return {
            branch: (nearness * part).sum(dim=0) if branch == "cond" else part[0]
            for branch, part in zip(branches, each, strict=True)
        }

    def _angle_weight(self, photos: Sequence[EncodedReference], cameras: Cameras) -> Float[Tensor, "B"]:
        """Return weights: 0 at a photo, where the reference losses apply, 1 halfway between evenly spread photos."""
        nearest = angles_deg(photos, cameras).amin(dim=0)
        return (nearest * len(photos) / 180.0).clamp(max=1.0)

    def estimate_elevation_deg(self, reference: Reference, generator: torch.Generator) -> float:
        """Return the most likely elevation of a photo's camera; see `zero123_elevation`."""
        if self.recall is not None:
            return likeliest_deg(self.recall.errors_of_elevations(reference, CANDIDATES_DEG))
        (photo,) = self.encoded((reference,))
        return estimate_elevation_deg(self, photo, reference.camera.fov_y_rad, generator)
