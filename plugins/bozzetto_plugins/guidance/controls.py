"""ControlNets beside a denoiser: maps of the rendered shape, and what the networks make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.errors import ConfigError
from bozzetto.math.control_maps import inverse_depth, normal_colors
from bozzetto.types import Cameras, Rendered
from bozzetto_plugins.guidance.control_config import ControlConfig
from bozzetto_plugins.guidance.latents import resize
from bozzetto_plugins.guidance.offload import Offload, place_network

Residuals = tuple[tuple[Tensor, ...], Tensor]
"""What is added to the outputs of the denoiser's down blocks, and to that of its middle."""
Steer = Callable[[Tensor, Tensor, Tensor], Residuals | None]
"""Function from noisy latents, timesteps and text to residuals, all of the denoiser's data type."""


@dataclass(frozen=True)
class _Control:
    config: ControlConfig
    network: Any
    rest: Callable[[], None]


class Controls:
    """Frozen ControlNets of one denoiser, whose residuals add up.

    Args:
        folders: weights of each, by the name that its config gives.
        size: height and width of the maps, pixels: the size of the denoiser's images.

    Raises:
        ModelError: weights are missing or damaged.
    """

    def __init__(
        self,
        configs: Sequence[ControlConfig],
        folders: Mapping[str, Path],
        size: tuple[int, int],
        load: Callable[[Path], Any],
        device: torch.device,
        offload: Offload,
    ) -> None:
        self.size = size
        self.controls = tuple(_placed(config, load(folders[config.model]), device, offload) for config in configs)

    def read_normals(self, step: int) -> bool:
        """Return whether rendered normals are read in this step."""
        return any(one.config.map == "normal" and one.config.scale.at(step) != 0.0 for one in self.controls)

    @torch.no_grad()
    def maps(self, rendered: Rendered, cameras: Cameras, step: int) -> tuple[Float[Tensor, "B 3 h w"] | None, ...]:
        """Return what each ControlNet sees of the views; None for one that is not used in this step.

        Raises:
            ConfigError: normals are needed and none were rendered.
        """
        return tuple(
            self._map(one.config, rendered, cameras) if one.config.scale.at(step) != 0.0 else None
            for one in self.controls
        )

    def _map(self, config: ControlConfig, rendered: Rendered, cameras: Cameras) -> Float[Tensor, "B 3 h w"]:
        opacity = rendered.opacity.float()
        if config.map == "depth":
            return resize(inverse_depth(rendered.depth.float(), opacity, cameras.c2w, cameras.fov_y_rad), self.size)
        if rendered.normal is None:
            raise ConfigError(
                "guidance.controls: the map normal reads rendered normals, and there are none. Choose a renderer and "
                "geometry that give normals, or the map depth."
            )
        return resize(normal_colors(rendered.normal.float(), opacity, cameras.c2w), self.size)

    @torch.no_grad()
    def residuals(
        self,
        noisy: Float[Tensor, "N C h w"],
        timestep: Int[Tensor, "N"],
        text: Float[Tensor, "N L E"],
        maps: Sequence[Float[Tensor, "B 3 H W"] | None],
        step: int,
    ) -> Residuals | None:
        """Return the sum of the residuals; None if no ControlNet is used in this step.

        Args:
            noisy: of all branches, each of the same B views in order.
        """
        total: Residuals | None = None
        for one, seen in zip(self.controls, maps, strict=True):
            if seen is None:
                continue
            repeated = seen.repeat(len(noisy) // len(seen), 1, 1, 1).to(noisy)
            down, middle = one.network(
                noisy, timestep, encoder_hidden_states=text, controlnet_cond=repeated,
                conditioning_scale=one.config.scale.at(step), return_dict=False,
            )  # fmt: skip
            if total is not None:
                down = [a + b for a, b in zip(total[0], down, strict=True)]
                middle = total[1] + middle
            total = tuple(down), middle
        return total

    def rest(self) -> None:
        """Let the weights be offloaded."""
        for one in self.controls:
            one.rest()


class Steering:
    """The ControlNets of one step: they see the rendering when it is encoded, before anything is predicted of it."""

    def __init__(self, controls: Controls, cameras: Cameras, step: int) -> None:
        self.controls, self.cameras, self.step = controls, cameras, step
        self._maps: tuple[Tensor | None, ...] | None = None

    def see(self, rendered: Rendered) -> None:
        """Take the maps of a rendering; without gradient."""
        self._maps = self.controls.maps(rendered, self.cameras, self.step)

    def __call__(
        self, noisy: Float[Tensor, "N C h w"], timestep: Int[Tensor, "N"], text: Float[Tensor, "N L E"]
    ) -> Residuals | None:
        """Return what is added to the denoiser; None if no ControlNet is used in this step.

        Raises:
            ConfigError: no rendering has been encoded yet.
        """
        if self._maps is None:
            raise ConfigError("score: guidance.controls see what is encoded; encode a rendering before predicting.")
        return self.controls.residuals(noisy, timestep, text, self._maps, self.step)


def _placed(config: ControlConfig, network: Any, device: torch.device, offload: Offload) -> _Control:
    return _Control(config, network, place_network(network, device, offload))
