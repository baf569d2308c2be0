"""The bundled priors' denoiser for diffusers' own pipelines and for saving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Literal

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from jaxtyping import Float, Num
from torch import Tensor

from bozzetto_plugins.priors.camera_denoiser import CAMERA_NUMBERS, CameraDenoiser, CameraSettings


class CameraUNet(CameraDenoiser, ModelMixin, ConfigMixin):
    """`CameraDenoiser` as a model of diffusers; the guidances load `CameraNetwork`, which needs no diffusers.

    The call signature is that of diffusers' `UNet2DConditionModel` with `class_embed_type="projection"`; `class_labels`
    are the cameras (`camera_numbers`), by default a front camera.

    Args:
        time_cond_proj_dim: always None; read by diffusers' pipelines. All others: see `CameraSettings`.
    """

    config_name = "config.json"  # type: ignore[assignment] # None stands in its place in diffusers

    @register_to_config  # type: ignore[untyped-decorator] # it keeps the signature
    def __init__(
        self,
        in_channels: int = 48, out_channels: int = 48, sample_size: int = 32, cross_attention_dim: int = 128,
        class_embed_type: str = "projection", projection_class_embeddings_input_dim: int = CAMERA_NUMBERS,
        block_out_channels: Sequence[int] = (32, 64), norm_num_groups: int = 8, things: int = 1,
        grid_levels: int = 5, grid_features: int = 2, grid_base_resolution: int = 10, grid_finest_resolution: int = 80,
        grid_log2_table_size: int = 13, hidden_width: int = 32, occupancy_cells: int = 32, step_size: float = 0.02,
        draft_deviation: float = 0.05, told: Literal["text", "photo"] = "text", time_cond_proj_dim: None = None,
    ) -> None:  # fmt: skip
        initialize: Callable[[], None] = super().__init__  # not annotated in diffusers
        initialize()
        self.build(CameraSettings(**{item.name: self.config[item.name] for item in fields(CameraSettings)}))

    def forward(
        self,
        sample: Float[Tensor, "B C h w"],
        timestep: Tensor | float | int,
        encoder_hidden_states: Float[Tensor, "B N E"],
        class_labels: Num[Tensor, "B 17"] | None = None,
        timestep_cond: Tensor | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        added_cond_kwargs: dict[str, Tensor] | None = None,
        return_dict: bool = True,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """Return the velocity of noisy latents; `timestep_cond` and the arguments after it are ignored."""
        velocity = self.velocity(sample, timestep, encoder_hidden_states, class_labels)
        return UNet2DConditionOutput(sample=velocity) if return_dict else (velocity,)
