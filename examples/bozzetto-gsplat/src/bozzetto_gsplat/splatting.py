"""Renderer that splats Gaussians."""

from __future__ import annotations

import torch
from bozzetto.errors import ConfigError, NonFiniteError
from bozzetto.kinds.background import Background
from bozzetto.kinds.geometry import Geometry
from bozzetto.kinds.material import Material
from bozzetto.types import Cameras, FieldOutput, Rendered, Shading
from jaxtyping import Float
from torch import Tensor, nn

from bozzetto_gsplat import rasterize_gsplat, rasterize_torch
from bozzetto_gsplat.cloud import Cloud, MadeOfGaussians
from bozzetto_gsplat.config import SplattingConfig
from bozzetto_gsplat.projection import depths
from bozzetto_gsplat.rasterize_torch import Splatted


class Splatting(nn.Module):
    """3D Gaussian splatting (Kerbl et al. 2023). Implements `bozzetto.kinds.renderer.Renderer`; stateless.

    Each Gaussian is shaded once per view, at its centre, by the scene's material. Its normal is its shortest axis. Its
    depth is that of its centre along the view axis, converted to a distance along each pixel's ray.
    """

    def __init__(self, config: SplattingConfig, radius: float) -> None:
        super().__init__()
        self.config, self.radius = config, radius

    def update(self, geometry: Geometry, step: int, generator: torch.Generator) -> None:
        """Relocate invisible Gaussians every `relocate_every` steps."""
        every = self.config.relocate_every
        if every and step and step % every == 0 and step < self.config.relocate_until_step:
            made_of_gaussians(geometry).relocate(self.config.dead_below, generator)

    def forward(
        self,
        cameras: Cameras,
        geometry: Geometry,
        material: Material,
        background: Background,
        shading: Shading,
        normal: bool = False,
        generator: torch.Generator | None = None,
    ) -> Rendered:
        """Render all views; see `bozzetto.kinds.renderer.Renderer`. The generator is passed to the background only.

        Raises:
            ConfigError: the geometry does not consist of Gaussians, or gsplat is configured and not installed.
            NonFiniteError: a position, scale, opacity or colour is not finite.
        """
        cloud, normal = made_of_gaussians(geometry).cloud(), normal or shading.needs_normal
        values = self._values(cloud, cameras, material, shading, normal)
        for name in ("position", "scale", "opacity"):
            _check_finite(getattr(cloud, name), f"geometry {type(geometry).__name__} gave a {name}")
        _check_finite(values, f"material {type(material).__name__} gave a colour")
        rays = cameras.rays()
        with torch.autocast(values.device.type, enabled=False):  # pixel positions need full float32 precision
            seen = self._rasterize(cloud, values.float(), cameras)
        forward = -cameras.c2w[:, :3, 2].repeat_interleave(cameras.height * cameras.width, dim=0)
        along_axis = (rays.direction * forward).sum(dim=-1).view(*rays.image_shape, 1)
        behind = background(rays, generator).view(*rays.image_shape, 3)
        return Rendered(
            image=seen.accumulated[..., :3] + (1.0 - seen.opacity) * behind,
            opacity=seen.opacity,
            depth=seen.accumulated[..., 3:4] / along_axis,
            normal=seen.accumulated[..., 4:] if normal else None,
        )

    def _values(
        self, cloud: Cloud, cameras: Cameras, material: Material, shading: Shading, normal: bool
    ) -> Float[Tensor, "B N C"]:
        """Return the blended values per Gaussian and view: colour, depth and, if `normal`, the normal."""
        columns = []
        for view, eye in enumerate(cameras.position):
            facing = cloud.normal_toward(eye) if normal else None
            number = torch.full((len(cloud),), view, device=eye.device)
            color = material(FieldOutput(cloud.features, normal=facing), cloud.position, number, shading)
            columns.append(color if facing is None else torch.cat([color, facing], dim=-1))
        whole = torch.stack(columns)
        return torch.cat([whole[..., :3], depths(cloud, cameras)[..., None], whole[..., 3:]], dim=-1)

    def _rasterize(self, cloud: Cloud, values: Float[Tensor, "B N C"], cameras: Cameras) -> Splatted:
        wanted = self.config.rasterizer
        if wanted == "gsplat" or (wanted == "auto" and values.is_cuda and rasterize_gsplat.installed()):
            return rasterize_gsplat.rasterize(cloud, values, cameras)
        return rasterize_torch.rasterize(cloud, values, cameras)


def made_of_gaussians(geometry: Geometry) -> MadeOfGaussians:
    """Return the geometry if it consists of Gaussians.

    Raises:
        ConfigError: it does not.
    """
    if not isinstance(geometry, MadeOfGaussians):
        raise ConfigError(
            f"renderer splatting draws Gaussians, and geometry {type(geometry).__name__} has none. "
            "Use geometry gaussians, or renderer volume."
        )
    return geometry


def _check_finite(value: Tensor, what: str) -> None:
    if not torch.isfinite(value).all():
        count = int((~torch.isfinite(value)).sum())
        raise NonFiniteError(f"{what} that is not finite ({count} of {value.numel()} numbers)")
