"""Volume renderer: emission and absorption along rays, skipping empty space."""

from __future__ import annotations

import copy
import itertools
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.errors import ConfigError
from bozzetto.kernels import api
from bozzetto.kinds.background import Background
from bozzetto.kinds.geometry import Geometry
from bozzetto.kinds.material import LatentMaterial, Material
from bozzetto.math.view_draws import draw_rows
from bozzetto.readings import check_later
from bozzetto.types import Cameras, Rays, Rendered, Samples, Shading, VolumeSamples
from bozzetto_plugins.renderer.checks import check_finite
from bozzetto_plugins.renderer.config import VolumeConfig
from bozzetto_plugins.renderer.occupancy import OccupancyGrid
from bozzetto_plugins.renderer.shading_parts import Shaded, shade_parts

log = logging.getLogger(__name__)

VANISHED = "The scene has vanished at step {}: its largest density is negligible, and it {}. {}"
CURE = (
    "Lower the weight of the losses that thin it (sparsity, opaque), or system.optimizer.lr, or start denser "
    "(system.geometry.density_bias)."
)
PATIENCE = 16
"""Updates of the occupancy grid after which a vanished scene is given up: samples were in every cell twice."""


@dataclass(frozen=True)
class _Traced:
    """Composited values of a set of rays, without the background."""

    accumulated: Float[Tensor, "R C"]
    """RGB or latents, then the normal if requested; weighted by opacity."""
    opacity: Float[Tensor, "R 1"]
    depth: Float[Tensor, "R 1"]
    volume: VolumeSamples


class Volume(nn.Module):
    """Volume renderer (NeRF, eq. 3) with equal steps through the occupied cells of the cube [-radius, radius]^3.

    In training (with a generator), the samples of each ray are jittered, all rays are traced at once and
    `Rendered.volume` holds the samples. In evaluation (without one), rays are traced in chunks and `Rendered.volume` is
    None.
    """

    def __init__(self, config: VolumeConfig, radius: float) -> None:
        super().__init__()
        self.config, self.radius = config, radius
        self.step_size = 2.0 * math.sqrt(3.0) * radius / config.samples_per_ray
        empty_below = -math.log1p(-config.occupancy_threshold) / self.step_size  # alpha = 1 - exp(-density * step)
        self.occupancy = OccupancyGrid(config.occupancy_resolution, radius, empty_below, config.occupancy_decay)
        self._vanished_at: int | None = None

    def update(self, geometry: Geometry, step: int, generator: torch.Generator) -> None:
        """Update the occupancy grid every `update_every` steps.

        Raises:
            ConfigError: the scene has vanished, and has not come back in `PATIENCE` updates.
        """
        if step % self.config.update_every == 0:
            number = step // self.config.update_every
            turn = None if step < self.config.warm_up_steps else number
            vanished = self.occupancy.update(geometry, generator, turn, number)
            check_later(vanished, partial(self._note, step))

    def preview(self) -> Volume:
        """Return the renderer with half as many samples on a ray; see `bozzetto.kinds.renderer.Previews`."""
        made = copy.copy(self)  # with the same occupancy
        made.config = replace(self.config, samples_per_ray=max(self.config.samples_per_ray // 2, 1))
        made.step_size = 2.0 * math.sqrt(3.0) * self.radius / made.config.samples_per_ray
        return made

    def _note(self, step: int, vanished: float) -> None:
        """Warn of a scene that has vanished, and give it up if it stays so."""
        if not vanished:
            self._vanished_at = None
        elif self._vanished_at is None:
            self._vanished_at = step
            log.warning(VANISHED.format(step, "is unlikely to recover", CURE))
        elif step - self._vanished_at >= PATIENCE * self.config.update_every:
            raise ConfigError(VANISHED.format(self._vanished_at, f"has not come back up to step {step}", CURE))

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
        """Render all views; see `bozzetto.kinds.renderer.Renderer`.

        Raises:
            NonFiniteError: the geometry's density or the material's colour is not finite.
            ConfigError: the geometry has no density, or no normals where they are needed.
        """
        rays = cameras.rays()
        scene = _Scene(geometry, material, shading, rays, normal or shading.needs_normal)
        if generator is not None:
            jitter = draw_rows(lambda n, g: torch.rand(n, generator=g, device=g.device), len(rays), generator)
            parts = [self._trace(scene, 0, self._march(rays, jitter))]
        else:
            parts = [self._trace(scene, first, samples) for first, samples in self._chunks(rays)]
        accumulated = torch.cat([part.accumulated for part in parts])
        opacity = torch.cat([part.opacity for part in parts])
        behind = background(rays, generator)
        if shading.space == "latent":
            behind = _latents_of(material, behind)
        channels = behind.shape[1]
        image = accumulated[:, :channels] + (1.0 - opacity) * behind
        return Rendered(
            image=image.view(*rays.image_shape, channels),
            opacity=opacity.view(*rays.image_shape, 1),
            depth=torch.cat([part.depth for part in parts]).view(*rays.image_shape, 1),
            normal=accumulated[:, channels:].view(*rays.image_shape, 3) if scene.normal else None,
            space=shading.space,
            volume=parts[0].volume if generator is not None else None,
        )

    def _march(self, rays: Rays, jitter: Float[Tensor, "R"] | None) -> Samples:
        marched = api.march(
            rays.origin, rays.direction, self.radius, self.occupancy.occupied, self.step_size,
            self.config.samples_per_ray, jitter,
        )  # fmt: skip
        return Samples(marched.t_start, marched.t_end, marched.ray, marched.offsets, rays)

    def _chunks(self, rays: Rays) -> Iterator[tuple[int, Samples]]:
        """Yield chunks of consecutive rays with at most `max_samples` samples, each with the index of its first ray.

        Rays are marched in strips that respect the limit even if all cells are occupied. Strips are then merged up to
        the limit: in a scene with much empty space a chunk holds many strips.
        """
        limit, strip = self.config.max_samples, max(1, self.config.max_samples // self.config.samples_per_ray)
        waiting: list[Samples] = []
        first = 0
        for start in range(0, len(rays), strip):
            samples = self._march(_some(rays, start, min(start + strip, len(rays))), None)
            if waiting and sum(map(len, waiting)) + len(samples) > limit:
                yield first, _joined(waiting, _some(rays, first, start))
                waiting, first = [], start
            waiting.append(samples)
        yield first, _joined(waiting, _some(rays, first, len(rays)))

    def _trace(self, scene: _Scene, first: int, samples: Samples) -> _Traced:
        """Shade and composite samples, without the background; `first` is the index of the chunk's first ray."""
        if self.config.prune_weight > 0.0:
            samples = pruned(samples, scene.geometry, self.config.prune_weight, self.config.training_samples)
        shade = partial(self._shaded, scene, first)
        count = self.config.training_samples if torch.is_grad_enabled() else 0
        density, color, *normals = shade_parts(shade, samples.points, samples.ray, count)
        check_finite(density, "geometry", scene.geometry, "density")
        check_finite(color, "material", scene.material, "colour")
        normal = normals[0] if normals else None
        values = torch.cat([color, normal], dim=-1) if normal is not None and scene.normal else color
        seen = api.composite(density, samples.t_start, samples.t_end, values, samples.offsets)
        volume = VolumeSamples(samples, seen.weights, normal)
        return _Traced(seen.accumulated, seen.opacity, seen.depth, volume)

    def _shaded(self, scene: _Scene, first: int, points: Float[Tensor, "S 3"], ray: Int[Tensor, "S"]) -> Shaded:
        """Return density, colour and, if the geometry gave them, normals of samples."""
        field = scene.geometry(points, normal=scene.normal)
        if field.density is None or (scene.normal and field.normal is None):
            raise ConfigError(
                f"renderer volume needs {'densities' if field.density is None else 'normals'}, and geometry "
                f"{type(scene.geometry).__name__} gave none."
            )
        color = scene.material(field, points, scene.rays.view_of(ray + first), scene.shading)
        return (field.density, color) if field.normal is None else (field.density, color, field.normal)


@dataclass(frozen=True)
class _Scene:
    """Inputs that are the same for all chunks."""

    geometry: Geometry
    material: Material
    shading: Shading
    rays: Rays
    normal: bool


def _latents_of(material: Material, colors: Float[Tensor, "R 3"]) -> Float[Tensor, "R C"]:
    """Return the background of a scene of latents."""
    if not isinstance(material, LatentMaterial):
        raise ConfigError(f"renderer volume: material {type(material).__name__} has no latents. Use material latent.")
    return material.latents_of(colors)


def _some(rays: Rays, first: int, last: int) -> Rays:
    """Return the rays with indices in [first, last)."""
    if (first, last) == (0, len(rays)):
        return rays
    return Rays(rays.origin[first:last], rays.direction[first:last], (1, 1, last - first))


def _joined(parts: list[Samples], rays: Rays) -> Samples:
    """Concatenate the samples of consecutive groups of rays."""
    if len(parts) == 1:
        return parts[0]
    rays_before = itertools.accumulate((len(part.rays) for part in parts), initial=0)
    samples_before = itertools.accumulate(map(len, parts), initial=0)
    offsets = [part.offsets[:-1] + before for part, before in zip(parts, samples_before, strict=False)]
    return Samples(
        torch.cat([part.t_start for part in parts]),
        torch.cat([part.t_end for part in parts]),
        torch.cat([part.ray + before for part, before in zip(parts, rays_before, strict=False)]),
        torch.cat([*offsets, offsets[0].new_tensor([sum(map(len, parts))])]),
        rays,
    )


@torch.no_grad()
def pruned(samples: Samples, geometry: Geometry, min_weight: float, at_once: int = 0) -> Samples:
    """Drop samples whose compositing weight is below `min_weight`; evaluates the density only.

    Args:
        at_once: samples that are evaluated at a time; 0: all.
    """
    parts = samples.points.split(at_once or max(len(samples), 1))
    density = torch.cat([geometry.density(some) for some in parts])
    check_finite(density, "geometry", geometry, "density")
    weights = api.composite(density, samples.t_start, samples.t_end, density[:, None], samples.offsets).weights
    keep = weights >= min_weight
    kept_before = torch.cat([keep.new_zeros(1, dtype=torch.long), keep.cumsum(0)])
    kept = keep.nonzero()[:, 0]  # waits for the device, once
    return Samples(
        samples.t_start[kept], samples.t_end[kept], samples.ray[kept], kept_before[samples.offsets], samples.rays
    )
