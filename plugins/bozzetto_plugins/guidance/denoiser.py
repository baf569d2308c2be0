"""Networks of a latent diffusion model: image encoder and decoder, denoiser, noise schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.errors import ConfigError, ModelError
from bozzetto.kinds.guidance import folder_of
from bozzetto.math.levels import Level, Output, epsilon_at, variance_preserving, x0_at
from bozzetto.scoring import Prediction
from bozzetto_plugins.guidance.adapter import Adapter
from bozzetto_plugins.guidance.control_config import ControlConfig
from bozzetto_plugins.guidance.controls import Controls, Steer
from bozzetto_plugins.guidance.encode_parts import encode_parts
from bozzetto_plugins.guidance.families import reads_cameras
from bozzetto_plugins.guidance.gradient_scale import scaled_backward
from bozzetto_plugins.guidance.network_file import load_network, to_channels_last
from bozzetto_plugins.guidance.noise_schedule import read_schedule
from bozzetto_plugins.guidance.offload import Offload, place

OUTPUTS: dict[str, Output] = {"epsilon": "epsilon", "v_prediction": "v"}
"""Output of the network by the name in its scheduler's settings."""


class Denoiser:
    """Frozen image encoder and denoiser of one of the `families`, in diffusers' folder format, with noise schedule.

    Args:
        folder: contains `model_index.json`, `unet`, `vae` and `scheduler`.
        device: where the networks run.
        dtype: data type of the weights; latents and predictions are always float32.
        encode_views: views that are encoded at a time, and once more in the backward pass; 0: all, and once.
        compiled: compile the networks at their first use.
        image_conditioned: the denoiser also reads the latents of an image, concatenated to the noisy ones (Zero123,
            InstructPix2Pix).
        prepare: changes the weights of the denoiser before they are placed; None: nothing does.

    Raises:
        ModelError: a part is missing, damaged, or of another family.
    """

    def __init__(
        self,
        folder: Path,
        device: torch.device,
        dtype: torch.dtype,
        offload: Offload = "none",
        attention_slicing: bool = False,
        channels_last: bool = False,
        image_conditioned: bool = False,
        encode_views: int = 0,
        compiled: bool = False,
        prepare: Callable[[nn.Module], None] | None = None,
    ) -> None:
        folder_of(folder)
        self.device = device
        self.dtype = dtype
        self.unet = load_network(folder / "unet", dtype)
        self.vae = load_network(folder / "vae", dtype)
        schedule = read_schedule(folder / "scheduler" / "scheduler_config.json")
        self.prediction = schedule.prediction
        self.alpha_bars: Float[Tensor, "T"] = schedule.alpha_bars.to(device=device, dtype=torch.float32)
        self._check(folder, image_conditioned)
        if prepare is not None:
            prepare(self.unet)
        if attention_slicing and hasattr(self.unet, "set_attention_slice"):  # absent without attention
            self.unet.set_attention_slice("auto")
        if channels_last:
            to_channels_last(self.unet)
            to_channels_last(self.vae)
        self.encode_views = encode_views
        if compiled:
            self.unet.compile()
            self.vae.encoder.compile()
        self._rest = place(self.vae, self.unet, device, offload)
        self._offload = offload
        self.adapter: Adapter | None = None
        self.controls: Controls | None = None

    def _check(self, folder: Path, image_conditioned: bool) -> None:
        scale = self.vae.config.scaling_factor
        for name, number in (("scaling_factor", scale), *(("sample_size", side) for side in self.latent_size)):
            if not isinstance(number, (int, float)) or not 0.0 < number < math.inf:
                raise ModelError(f"{folder}: the settings say {name}: {number!r:.80}, which is not a valid size.")
        if self.prediction not in OUTPUTS:
            known = " and ".join(OUTPUTS)
            raise ModelError(f"{folder}: the model predicts {self.prediction!r}; this guidance knows {known}.")
        if self.unet.config.in_channels != self.vae.config.latent_channels * (1 + image_conditioned):
            cure = (
                "This guidance needs a model that is given a picture, too."
                if image_conditioned
                else "Inpainting, depth and editing models cannot guide; choose a text-to-image model."
            )
            raise ModelError(
                f"{folder}: the denoiser reads {self.unet.config.in_channels} channels and the image encoder makes "
                f"{self.vae.config.latent_channels}. {cure}"
            )

    @property
    def train_steps(self) -> int:
        """T, the number of noise levels that the model was trained on."""
        return len(self.alpha_bars)

    @property
    def output(self) -> Output:
        """What the network predicts."""
        return OUTPUTS[self.prediction]

    @property
    def latent_channels(self) -> int:
        """C, the number of channels of the latents."""
        channels: int = self.vae.config.latent_channels
        return channels

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents that the model was trained on."""
        size = self.unet.config.sample_size
        return (size[0], size[1]) if isinstance(size, (list, tuple)) and len(size) == 2 else (size, size)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the corresponding images, pixels."""
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        height, width = self.latent_size
        return height * factor, width * factor

    @property
    def text_width(self) -> int:
        """E, the width of the expected text embeddings."""
        width: int = self.unet.config.cross_attention_dim
        return width

    def alpha_bar(self, timestep: Int[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Return the cumulative product of alphas at each timestep, in [0, 1]."""
        return self.alpha_bars[timestep]

    def level(self, timestep: Int[Tensor, "B"]) -> Level:
        """Return signal and noise at each timestep."""
        return variance_preserving(self.alpha_bar(timestep))

    def encode(
        self, image: Float[Tensor, "B 3 H W"], noise: Float[Tensor, "B C h w"] | None
    ) -> Float[Tensor, "B C h w"]:
        """Encode images in [0, 1] to latents, scaled as the denoiser expects; differentiable, also in float16.

        Args:
            noise: unit Gaussian noise; samples the encoder's distribution. None: use its mode.
        """

        def latents_of_some(image: Tensor, noise: Tensor | None) -> Tensor:
            posterior = self.vae.encode((2.0 * image - 1.0).to(self.dtype)).latent_dist
            latents = posterior.mean.float()
            if noise is not None:
                latents = latents + posterior.std.float() * noise
            scaled: Tensor = latents * self.vae.config.scaling_factor
            return scaled

        latents_of = partial(encode_parts, latents_of_some, noise=noise, count=self.encode_views)
        return scaled_backward(latents_of, image) if self.dtype == torch.float16 else latents_of(image)

    @torch.no_grad()
    def mode_of(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Return the mode of the encoder's distribution, not scaled, as pictures to edit are given to the denoiser."""
        return self.encode(image, None) / float(self.vae.config.scaling_factor)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Decode latents to images in [0, 1]."""
        image: Tensor = self.vae.decode((latents / self.vae.config.scaling_factor).to(self.dtype)).sample
        return (0.5 * image.float() + 0.5).clamp(0.0, 1.0)

    @property
    def reads_cameras(self) -> bool:
        """True if `predict` requires the exact cameras."""
        return reads_cameras(self.unet)

    @torch.no_grad()
    def predict(
        self,
        noisy: Float[Tensor, "B I h w"],
        timestep: Int[Tensor, "B"],
        text: Float[Tensor, "B N E"],
        cameras: Float[Tensor, "B 17"] | None = None,
        steer: Steer | None = None,
    ) -> Float[Tensor, "B C h w"]:
        """Return the frozen network's output: noise or velocity, by `prediction`. Image latents follow the noisy ones.

        Args:
            steer: what ControlNets add.
            cameras: `bozzetto_plugins.priors.camera_unet.camera_numbers`, for a network that `reads_cameras`; another
                one with a class embedding of type `projection` receives the first token instead.
        """
        with nullcontext() if self.adapter is None else self.adapter.absent():
            return self._said(noisy, timestep, text, cameras, steer).float()

    def predict_adapted(
        self,
        noisy: Float[Tensor, "B C h w"],
        timestep: Int[Tensor, "B"],
        text: Float[Tensor, "B N E"],
        pose: Float[Tensor, "B 16"],
        cameras: Float[Tensor, "B 17"] | None = None,
        steer: Steer | None = None,
    ) -> Float[Tensor, "B C h w"]:
        """Return the output of the network with its adapter; differentiable in the adapter's parameters.

        Args:
            pose: camera-to-world matrices that the adapter is told; zeros: none.
            cameras, steer: see `predict`.

        Raises:
            ConfigError: there is no adapter.
        """
        if self.adapter is None:
            raise ConfigError("score: needs an adapter of the network; it must ask for one with add_adapter.")
        half = self.dtype == torch.float16
        return self.adapter.predict(lambda: self._said(noisy, timestep, text, cameras, steer), pose, half)

    def add_adapter(self, rank: int) -> nn.Module:
        """Add a low-rank adapter to the network, and return its parameters.

        Raises:
            ConfigError: there is one, the package peft is missing, or the network has no layer to adapt.
        """
        if self.adapter is not None:
            raise ConfigError("score: the network has an adapter already, of another score. Use one guidance for each.")
        self.adapter = Adapter(self.unet, rank, self.device)
        return self.adapter.module

    def add_controls(self, configs: Sequence[ControlConfig], folders: Mapping[str, Path]) -> None:
        """Load ControlNets; `folders` are those of their weights, by name.

        Raises:
            ModelError: weights are missing or damaged.
        """
        from diffusers.models.controlnets.controlnet import ControlNetModel

        def load(folder: Path) -> Any:
            return load_network(folder, self.dtype, ControlNetModel)

        self.controls = Controls(configs, folders, self.image_size, load, self.device, self._offload)

    def _said(
        self,
        noisy: Float[Tensor, "B I h w"],
        timestep: Int[Tensor, "B"],
        text: Float[Tensor, "B N E"],
        cameras: Float[Tensor, "B 17"] | None,
        steer: Steer | None = None,
    ) -> Tensor:
        attended = text.to(self.device) if self.reads_cameras else text.to(device=self.device, dtype=self.dtype)
        added = cameras
        if added is None and self.unet.config.class_embed_type == "projection":
            added = attended[:, 0]
        cast = noisy.to(self.dtype)
        residuals = None if steer is None else steer(cast, timestep, attended)
        if residuals is None:
            said: Tensor = self.unet(cast, timestep, encoder_hidden_states=attended, class_labels=added).sample
            return said
        said = self.unet(
            cast, timestep, encoder_hidden_states=attended, class_labels=added,
            down_block_additional_residuals=residuals[0], mid_block_additional_residual=residuals[1],
        ).sample  # fmt: skip
        return said

    def rest(self) -> None:
        """Signal that the denoiser is not needed until the next step, so that its weights can be offloaded."""
        self._rest()
        if self.controls is not None:
            self.controls.rest()
        if self.adapter is not None:
            self.adapter.stay()

    def epsilon(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert the network's output to the predicted noise."""
        return epsilon_at(OUTPUTS[self.prediction], output, noisy, self.level(timestep))

    def x0(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert the network's output to the predicted clean latents."""
        return x0_at(OUTPUTS[self.prediction], output, noisy, self.level(timestep))

    def prediction_of(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Prediction:
        """Return what the network's output says of noisy latents."""
        return Prediction(self.epsilon(output, noisy, timestep), self.x0(output, noisy, timestep))
