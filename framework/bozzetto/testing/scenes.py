"""Analytic test scene for renderers, materials and losses: a soft ball with known properties."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from bozzetto.kernels import api
from bozzetto.kinds.geometry import Geometry
from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.types import Cameras, FieldOutput, Rays, Rendered, Samples, Shading, VolumeSamples

__all__ = [
    "PlainBackground",
    "PlainMaterial",
    "SoftSphere",
    "cameras_around",
    "cameras_away",
    "render_plainly",
    "shading_alone",
    "view_alone",
]


class SoftSphere(nn.Module):
    """Geometry: a ball at the origin of uniform density that fades to 0 within a few `softness` of its surface.

    Args:
        radius: half side of the scene's cube.
        sphere_radius: radius of the ball, world units.
        density: density inside, per world unit; 200 absorbs nearly all light within 0.02.
        softness: distance over which the density fades, world units.
        normals: whether to return normals when requested.
    """

    def __init__(
        self,
        radius: float = 1.0,
        sphere_radius: float = 0.5,
        density: float = 200.0,
        softness: float = 0.005,
        normals: bool = True,
    ) -> None:
        super().__init__()
        self.radius, self.feature_count = radius, 3
        self.sphere_radius, self.softness, self.normals = sphere_radius, softness, normals
        self.log_density = nn.Parameter(torch.tensor(math.log(density)))
        self.feature = nn.Parameter(torch.tensor([1.0, 0.0, -1.0]))
        """Features of every point."""

    def forward(self, points: Float[Tensor, "S 3"], normal: bool = False) -> FieldOutput:
        outward = normalize(points, dim=-1) if normal and self.normals else None
        return FieldOutput(self.feature.expand(len(points), -1), density=self.density(points), normal=outward)

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        depth = (self.sphere_radius - points.norm(dim=-1)) / self.softness
        inside = points.abs().amax(dim=-1) <= self.radius
        return torch.exp(self.log_density) * torch.sigmoid(depth) * inside

    def set_step(self, step: int) -> None:
        """Do nothing; there are no schedules."""

    def total_variation(self) -> Float[Tensor, ""]:
        """Return 0; there is no grid."""
        return self.feature.new_zeros(())


class PlainMaterial(nn.Module):
    """Material: sigmoid of the features times a trainable gain; or normals as colours if `mode` is `normal`."""

    def __init__(self, mode: str = "albedo") -> None:
        super().__init__()
        self.mode = mode
        self.gain = nn.Parameter(torch.ones(()))

    def sample_shading(self, cameras: Cameras, step: int, generator: torch.Generator) -> Shading:
        return self.eval_shading(cameras)

    def eval_shading(self, cameras: Cameras) -> Shading:
        nothing = torch.zeros_like(cameras.position)
        return Shading("normal" if self.mode == "normal" else "albedo", nothing, torch.ones_like(nothing), nothing)

    def forward(
        self, field: FieldOutput, points: Float[Tensor, "S 3"], view: Int[Tensor, "S"], shading: Shading
    ) -> Float[Tensor, "S 3"]:
        if shading.mode == "normal" and field.normal is not None:
            return 0.5 * (field.normal + 1.0)
        return self.albedo(field.features)

    def albedo(self, features: Float[Tensor, "S F"]) -> Float[Tensor, "S 3"]:
        return torch.sigmoid(self.gain * features)


class PlainBackground(nn.Module):
    """Background of one trainable colour, with and without a generator."""

    def __init__(self, color: tuple[float, float, float] = (0.2, 0.4, 0.6)) -> None:
        super().__init__()
        self.color = nn.Parameter(torch.tensor(color))

    def forward(self, rays: Rays, generator: torch.Generator | None) -> Float[Tensor, "R 3"]:
        return self.color.expand(len(rays), -1)


def cameras_around(count: int = 1, size: int = 17, distance: float = 2.5, fov_y_rad: float = 0.7) -> Cameras:
    """Return square cameras around the origin from `count` sides, 20 degrees above the horizon; azimuth 0 first.

    With an odd `size` the ray of the centre pixel passes exactly through the origin.
    """
    azimuth = torch.arange(count) * (360.0 / count)
    position = spherical_position(azimuth, torch.full_like(azimuth, 20.0), torch.full_like(azimuth, distance))
    return Cameras(look_at_origin(position), torch.full((count,), fov_y_rad), size, size)


def cameras_away(count: int = 1, size: int = 17) -> Cameras:
    """Return `cameras_around` turned away from the scene, so that nothing is visible."""
    there = cameras_around(count, size)
    back = there.c2w * torch.tensor([-1.0, 1.0, -1.0, 1.0])
    return Cameras(back, there.fov_y_rad, size, size)


def view_alone(cameras: Cameras, index: int) -> Cameras:
    """Return one camera of a batch, as a batch of one."""
    return Cameras(cameras.c2w[index : index + 1], cameras.fov_y_rad[index : index + 1], cameras.height, cameras.width)


def shading_alone(shading: Shading, index: int) -> Shading:
    """Return the shading of one view of a batch."""
    rows = slice(index, index + 1)
    return Shading(shading.mode, shading.light[rows], shading.ambient[rows], shading.diffuse[rows])


def render_plainly(
    geometry: Geometry, cameras: Cameras, steps: int = 48, generator: torch.Generator | None = None
) -> Rendered:
    """Render the ball on black like a volume renderer, with samples and normals, without occupancy grid or chunks."""
    rays = cameras.rays()
    full = torch.ones(1, 1, 1, dtype=torch.bool)
    jitter = None if generator is None else torch.rand(len(rays), generator=generator)
    step_size = 2.0 * math.sqrt(3.0) * geometry.radius / steps
    marched = api.march(rays.origin, rays.direction, geometry.radius, full, step_size, steps, jitter)
    samples = Samples(marched.t_start, marched.t_end, marched.ray, marched.offsets, rays)
    field = geometry(samples.points, normal=True)
    assert field.density is not None, f"{type(geometry).__name__} must give a density"
    values = torch.sigmoid(field.features)
    if field.normal is not None:
        values = torch.cat([values, field.normal], dim=-1)
    seen = api.composite(field.density, samples.t_start, samples.t_end, values, samples.offsets)
    shape = rays.image_shape
    return Rendered(
        image=seen.accumulated[:, :3].reshape(*shape, 3),
        opacity=seen.opacity.view(*shape, 1),
        depth=seen.depth.view(*shape, 1),
        normal=None if field.normal is None else seen.accumulated[:, 3:].reshape(*shape, 3),
        volume=VolumeSamples(samples, seen.weights, field.normal),
    )
