"""The bundled priors' denoiser, loaded without diffusers."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from jaxtyping import Float, Num
from torch import Tensor

from bozzetto_plugins.priors.camera_denoiser import CameraDenoiser, CameraSettings
from bozzetto_plugins.priors.folder_network import FolderNetwork


class Predicted(NamedTuple):
    """Output of a denoiser, as diffusers' networks return it."""

    sample: Float[Tensor, "B C h w"]


class CameraNetwork(FolderNetwork, CameraDenoiser):
    """`CameraDenoiser` that is called as diffusers' `UNet2DConditionModel`; `CameraUNet` is the one of diffusers."""

    SETTINGS: ClassVar[type] = CameraSettings
    config: CameraSettings

    def __init__(self, settings: CameraSettings) -> None:
        super().__init__(settings)
        self.build(settings)

    def forward(
        self,
        sample: Float[Tensor, "B C h w"],
        timestep: Tensor | float | int,
        encoder_hidden_states: Float[Tensor, "B N E"],
        class_labels: Num[Tensor, "B 17"] | None = None,
    ) -> Predicted:
        """Return the velocity of noisy latents seen from cameras (`camera_numbers`); None: from the front."""
        return Predicted(self.velocity(sample, timestep, encoder_hidden_states, class_labels))
