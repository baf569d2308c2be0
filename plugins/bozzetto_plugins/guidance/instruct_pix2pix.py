"""Editing of a scene by an instruction, with a diffusion model that edits pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.errors import ConfigError, ModelError
from bozzetto.kinds.scene import Scene
from bozzetto.kinds.score import Branch
from bozzetto.math.levels import add_noise_at
from bozzetto.math.score import require_finite
from bozzetto.math.timesteps import sample_timesteps, step_range
from bozzetto.scoring import Pictures, Prediction, denoise, normal_noise
from bozzetto.types import Cameras, Guided, Rendered, ViewCondition
from bozzetto_plugins.guidance.clip_text import ClipText
from bozzetto_plugins.guidance.denoiser import Denoiser
from bozzetto_plugins.guidance.edited_views import EditedViews
from bozzetto_plugins.guidance.instruct_pix2pix_config import InstructPix2PixConfig
from bozzetto_plugins.guidance.latent_prior import LatentPrior, encode_image
from bozzetto_plugins.guidance.latents import image_to_input, to_pictures
from bozzetto_plugins.guidance.precision import choose_dtype
from bozzetto_plugins.score.axes import GuiderConfig
from bozzetto_plugins.score.guiders import guide


class InstructPix2Pix:
    """Pictures of a task's fixed views are edited while the scene is fitted to them (Instruct-NeRF2NeRF, Haque 2023).

    Every `edit_every` steps the first view of the step is edited: its rendering is noised, and denoised on condition of
    the instruction and of the view's original picture, which the scene showed before the first step. The result
    replaces the view's target. The loss `edit` is the mean absolute difference of rendering and target. Random numbers
    are drawn from the given generator in steps with an edit, in the order: encoder sample, timestep, noise.

    For scores it is a prior of three branches. The denoiser reads the latents of the original picture, not scaled,
    after the noisy ones; the branch `uncond` zeros in their place (Brooks et al. 2023, InstructPix2Pix).

    Raises:
        ModelError: the folder does not contain such a model.
    """

    def __init__(self, config: InstructPix2PixConfig, model_folder: Path, device: torch.device) -> None:
        dtype = choose_dtype(config.dtype, device)
        self.config = config
        self.denoiser = Denoiser(
            model_folder, device, dtype, config.cpu_offload, config.attention_slicing, config.channels_last,
            image_conditioned=True,
        )  # fmt: skip
        self.text = ClipText(model_folder, device, dtype)
        if self.text.width != self.denoiser.text_width:
            raise ModelError(
                f"{model_folder}: the text encoder is {self.text.width} wide, the denoiser expects "
                f"{self.denoiser.text_width}. The parts are of different models."
            )
        self._views: EditedViews | None = None

    @property
    def text_model_id(self) -> str:
        """Identifier of the text encoder: a hash of its content and data type."""
        return self.text.model_id

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "T N E"]:
        """Return float32 embeddings of T texts; the text encoder is in memory only during the call."""
        return self.text.encode(texts)

    def unknown_words(self, text: str) -> Sequence[str]:
        """Return nothing: the vocabulary is open."""
        return ()

    def needs_normal(self, step: int) -> bool:
        """Return false: normals are not read."""
        return False

    def keep(self, cameras: Cameras) -> EditedViews:
        """Return the kept pictures of these views, black until `begin`."""
        denoiser = self.denoiser
        self._views = EditedViews(
            cameras, denoiser.image_size, (denoiser.latent_channels, *denoiser.latent_size)
        ).requires_grad_(False)
        return self._views

    @torch.no_grad()
    def begin(self, scene: Scene) -> None:
        """Keep the pictures of the scene as it is, and their latents; view by view, with the evaluation's light."""
        views = self.views
        for number in range(len(views.cameras)):
            at = torch.tensor([number], device=views.edits.device)
            some = views.cameras
            camera = Cameras(some.c2w[at], some.fov_y_rad[at], some.height, some.width)
            views.put(at, image_to_input(scene.render(camera), self.denoiser.image_size))
            views.latents[at] = self.denoiser.mode_of(views.target(at)).to(views.latents)

    @property
    def views(self) -> EditedViews:
        """Pictures of the fixed views.

        Raises:
            ConfigError: there are none.
        """
        if self._views is None:
            raise ConfigError("guidance: 'instruct-pix2pix' edits fixed views; give the task views of fixed-views.")
        return self._views

    def __call__(
        self, rendered: Rendered, condition: ViewCondition, cameras: Cameras, step: int, generator: torch.Generator
    ) -> Guided:
        """Return the loss `edit`; in every `edit_every`-th step a view is edited first.

        Raises:
            ConfigError: the scene is not rendered in RGB, or from other views than those kept.
            NonFiniteError: the rendered image or the edited picture contains NaN or infinity.
        """
        image = self._image(rendered)
        number = self.views.numbers_of(cameras)
        timestep = torch.zeros_like(number)
        if step % self.config.edit_every == 0:
            timestep[:1] = self._edit(*_first(rendered, condition, cameras), step, generator)
        target = self.views.target(number)
        return Guided(
            {"edit": (image - target).abs().mean()},
            timestep,
            metrics={"edited_views": (self.views.edits > 0).float().sum()},
            debug=self._pictures(number) if self.config.debug else None,
        )

    @torch.no_grad()
    def _edit(
        self, rendered: Rendered, condition: ViewCondition, camera: Cameras, step: int, generator: torch.Generator
    ) -> Int[Tensor, "1"]:
        """Replace the picture of one view by an edit of its rendering; return the timestep it began at."""
        config = self.config
        guider = GuiderConfig("three-way", config.scale, image_scale=config.image_scale)
        prior = self.prior(condition, camera, step)
        latents = prior.latents(rendered, generator)
        low, high = config.min_step_fraction.at(step), config.max_step_fraction.at(step)
        timestep = sample_timesteps(1, *step_range(low, high, prior.train_steps), generator).to(latents.device)
        noisy = add_noise_at(latents, normal_noise(latents, generator), prior.level(timestep))

        def predict(noisy: Tensor, timestep: Tensor) -> Prediction:
            return guide(guider, prior, noisy, timestep, step)

        edited = denoise(prior, predict, noisy, timestep, config.edit_steps)
        prior.rest()
        require_finite(rendered.image, "rendered image", step)
        require_finite(edited, "instruct-pix2pix's denoiser", step, prior.cure)
        number = self.views.numbers_of(camera)
        self.views.put(number, prior.decode(edited))
        self.views.edits[number] += 1
        return timestep

    def prior(self, condition: ViewCondition, cameras: Cameras, step: int) -> LatentPrior:
        """Return the prior of the views of one step, on condition of their original pictures."""
        seen = self.views.latents[self.views.numbers_of(cameras)]
        given: dict[Branch, tuple[Tensor, Tensor]] = {
            "cond": (condition.text, seen),
            "image": (condition.uncond, seen),
            "uncond": (condition.uncond, torch.zeros_like(seen)),
        }

        def outputs(noisy: Tensor, timestep: Tensor, branches: Sequence[Branch]) -> Mapping[Branch, Tensor]:
            texts, pictures = (torch.cat([given[branch][part] for branch in branches]) for part in (0, 1))
            inputs = torch.cat([noisy.repeat(len(branches), 1, 1, 1), pictures.to(noisy)], dim=1)
            output = self.denoiser.predict(inputs, timestep.repeat(len(branches)), texts)
            return dict(zip(branches, output.unflatten(0, (len(branches), len(noisy))), strict=True))

        branches = frozenset(given)
        return LatentPrior(self.denoiser, "instruct-pix2pix", self._latents, outputs, branches, cameras=cameras)

    def rest(self) -> None:
        """Let the denoiser's weights be offloaded."""
        self.denoiser.rest()

    def _latents(self, rendered: Rendered, generator: torch.Generator) -> Float[Tensor, "B C h w"]:
        self._image(rendered)
        return encode_image(self.denoiser, rendered, self.config.encode == "sample", generator)

    def _image(self, rendered: Rendered) -> Float[Tensor, "B 3 H W"]:
        if rendered.space != "rgb":
            raise ConfigError("guidance: 'instruct-pix2pix' edits colours; render the scene in space 'rgb'.")
        return image_to_input(rendered, self.denoiser.image_size)

    def _pictures(self, number: Int[Tensor, "B"]) -> Pictures:
        """Return what draws the original pictures of some views, as the denoiser is given them, and the edited ones."""

        def pictures() -> Mapping[str, Float[Tensor, "B H W 3"]]:
            scaled = self.views.latents[number] * self.denoiser.vae.config.scaling_factor
            return {
                "original": to_pictures(self.denoiser.decode(scaled)),
                "edited": to_pictures(self.views.target(number)),
            }

        return pictures


def _first(rendered: Rendered, condition: ViewCondition, cameras: Cameras) -> tuple[Rendered, ViewCondition, Cameras]:
    """Return the first view of a step, without gradient."""
    return (
        Rendered(rendered.image[:1].detach(), rendered.opacity[:1].detach(), rendered.depth[:1].detach()),
        ViewCondition(condition.text[:1], condition.uncond[:1]),
        Cameras(cameras.c2w[:1], cameras.fov_y_rad[:1], cameras.height, cameras.width),
    )
