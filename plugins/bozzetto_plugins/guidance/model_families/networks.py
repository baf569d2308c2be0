"""Denoiser and image encoder of a model of any family: loading, offloading, latents, prediction."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.errors import ConfigError
from bozzetto.kinds.guidance import folder_of
from bozzetto.math.levels import Level, Output, epsilon_at, x0_at
from bozzetto.model_files import read_settings, whole_part
from bozzetto.types import Cameras
from bozzetto_plugins.guidance.gradient_scale import scaled_backward
from bozzetto_plugins.guidance.model_families.family import Family, ModelParts, family_of_parts
from bozzetto_plugins.guidance.model_families.known import KnownFamily
from bozzetto_plugins.guidance.offload import Offload, place
from bozzetto_plugins.guidance.weights import reading, require_size, require_whole, variant_of, without_bars

__all__ = ["FamilyNetworks"]


class FamilyNetworks:
    """Frozen networks of a model folder in diffusers' format, of one of the known families.

    Args:
        dtype: data type of the weights; latents and predictions are always float32. An image encoder that overflows in
            float16, as its settings say (`force_upcast`), is float32 then.
        image_size: side of the images given to the model, pixels; None: what it was trained on.

    Raises:
        ModelError: a part is missing, damaged, or of another family.
        ConfigError: the image size is none that the model can have.
    """

    def __init__(
        self,
        folder: Path,
        known: KnownFamily,
        device: torch.device,
        dtype: torch.dtype,
        offload: Offload = "none",
        image_size: int | None = None,
        long_text: bool = True,
    ) -> None:
        folder_of(folder)
        self.device, self.dtype = device, dtype
        self.denoiser = load_part(folder / known.denoiser, known.classes[known.denoiser], dtype)
        self.vae_dtype = _image_dtype(folder, dtype)
        self.vae = load_part(folder / "vae", known.classes["vae"], self.vae_dtype) if "vae" in known.classes else None
        self.family: Family = family_of_parts(
            known,
            ModelParts(
                folder, read_settings(folder / "model_index.json"), self.denoiser, self.vae, device, dtype, image_size,
                long_text,
            ),
        )  # fmt: skip
        if self.family.image_size % self.family.pixels_per_latent:
            raise ConfigError(
                f"guidance.image_size: must be a multiple of {self.family.pixels_per_latent} for {known.name}, got "
                f"{self.family.image_size}. Set it to null for the size that the model was trained on."
            )
        self._rest = place(nn.Identity() if self.vae is None else self.vae, self.denoiser, device, offload)

    @property
    def train_steps(self) -> int:
        """T, the number of noise levels."""
        return self.family.schedule.train_steps

    @property
    def output(self) -> Output:
        """What the network predicts."""
        return self.family.schedule.output

    @property
    def latent_channels(self) -> int:
        """C, the number of channels of the latents."""
        return self.family.latent_channels

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images, pixels."""
        return self.family.image_size, self.family.image_size

    @property
    def latent_size(self) -> tuple[int, int]:
        """Height and width of the latents."""
        side = self.family.image_size // self.family.pixels_per_latent
        return side, side

    def level(self, timestep: Int[Tensor, "B"]) -> Level:
        """Return signal and noise at each timestep."""
        return self.family.schedule.level(timestep)

    def encode(
        self, image: Float[Tensor, "B 3 H W"], noise: Float[Tensor, "B C h w"] | None
    ) -> Float[Tensor, "B C h w"]:
        """Encode images in [0, 1] to latents as the denoiser reads them; differentiable, also in float16.

        Args:
            noise: unit Gaussian noise; samples the encoder's distribution. None: use its mode.
        """
        vae, family = self.vae, self.family
        if vae is None:
            return family.normalised(2.0 * image - 1.0)

        def latents_of(image: Tensor) -> Tensor:
            posterior = vae.encode((2.0 * image - 1.0).to(self.vae_dtype)).latent_dist
            latents = posterior.mean.float()
            if noise is not None:
                latents = latents + posterior.std.float() * family.unfolded(noise)
            return family.normalised(latents)

        return scaled_backward(latents_of, image) if self.vae_dtype == torch.float16 else latents_of(image)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Decode latents to images in [0, 1]."""
        restored = self.family.restored(latents)
        image = restored if self.vae is None else self.vae.decode(restored.to(self.vae_dtype)).sample
        return (0.5 * image.float() + 0.5).clamp(0.0, 1.0)

    @torch.no_grad()
    def predict(
        self,
        noisy: Float[Tensor, "B C h w"],
        timestep: Int[Tensor, "B"],
        text: Float[Tensor, "B R E"],
        cameras: Cameras,
    ) -> Float[Tensor, "B C h w"]:
        """Return the frozen network's output, by `output`.

        Args:
            text: embeddings in the packed form of the family's `layout`.
            cameras: of the views; B may be a multiple of their number, branch after branch.
        """
        words = self.family.layout.unpack(text.to(device=self.device, dtype=self.dtype))
        return self.family.output(self.denoiser, noisy.to(self.dtype), timestep, words, cameras).float()

    def epsilon(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert the network's output to the predicted noise."""
        return epsilon_at(self.output, output, noisy, self.level(timestep))

    def x0(
        self, output: Float[Tensor, "B C h w"], noisy: Float[Tensor, "B C h w"], timestep: Int[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Convert the network's output to the predicted clean latents."""
        return x0_at(self.output, output, noisy, self.level(timestep))

    def rest(self) -> None:
        """Signal that the denoiser is not needed until the next step, so that its weights can be offloaded."""
        self._rest()


def load_part(path: Path, kind: str, dtype: torch.dtype) -> Any:
    """Load one frozen network of diffusers.

    Args:
        kind: its class.

    Raises:
        ModelError: it cannot be loaded.
    """
    import diffusers

    family: Any = getattr(diffusers, kind)
    with reading(kind, path), without_bars(), whole_part(path) as whole:
        require_size(lambda: family.from_config(dict(read_settings(path / "config.json"))), path)
        network, loaded = family.from_pretrained(
            whole, torch_dtype=dtype, variant=variant_of(path), use_safetensors=True, local_files_only=True,
            low_cpu_mem_usage=find_spec("accelerate") is not None,  # avoids a warning of diffusers
            output_loading_info=True,
        )  # fmt: skip
    require_whole(loaded, kind, path)
    return network.requires_grad_(False).eval()


def _image_dtype(folder: Path, dtype: torch.dtype) -> torch.dtype:
    """Return the data type of the image encoder: SDXL's activations exceed float16."""
    path = folder / "vae" / "config.json"
    if dtype == torch.float16 and path.is_file() and read_settings(path).get("force_upcast", False) is True:
        return torch.float32
    return dtype
