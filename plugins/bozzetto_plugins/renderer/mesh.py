"""Differentiable mesh renderer: rasterisation, one shading per pixel, antialiased silhouettes with gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto import types
from bozzetto.errors import ConfigError
from bozzetto.kernels import api
from bozzetto.kinds.background import Background
from bozzetto.kinds.geometry import Geometry, MeshGeometry
from bozzetto.kinds.material import Material
from bozzetto.math.meshes import scaled_face_normals, vertex_normals
from bozzetto.math.normals import safe_normalize
from bozzetto.types import Cameras, FieldOutput, Rays, Rendered, Shading
from bozzetto_plugins.renderer.checks import check_finite
from bozzetto_plugins.renderer.config import MeshConfig


@dataclass(frozen=True)
class _Pixels:
    """Pixels covered by the surface, over all views."""

    pixel: Int[Tensor, "S"]
    """Flat index into B * H * W."""
    view: Int[Tensor, "S"]
    points: Float[Tensor, "S 3"]
    normal: Float[Tensor, "S 3"]
    distance: Float[Tensor, "S"]
    """Distance from the camera along the ray, world units."""


class Mesh(nn.Module):
    """Mesh renderer: rasterise, interpolate, shade, antialias, composite over the background of each pixel.

    Source: Laine et al. 2020, "Modular primitives for high-performance differentiable rendering". Colour, normal,
    distance and opacity are all antialiased across silhouettes, so the result has the same fields as that of a volume
    renderer. Gradients reach vertices through positions, normals and silhouettes. The renderer is stateless.
    """

    def __init__(self, config: MeshConfig, radius: float) -> None:
        super().__init__()
        self.config, self.radius = config, radius

    def update(self, geometry: Geometry, step: int, generator: torch.Generator) -> None:
        """Do nothing: the renderer has no state to update."""

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
        """Render all views; see `bozzetto.kinds.renderer.Renderer`. Without a generator, renders one view at a time.

        Raises:
            NonFiniteError: vertices, features or colours are not finite.
            ConfigError: the geometry is not a surface, or its surface has no faces left during training.
        """
        if not isinstance(geometry, MeshGeometry):
            raise ConfigError(
                f"renderer mesh needs a surface, and geometry {type(geometry).__name__} has none. Use geometry dmtet "
                "or mesh, or renderer volume."
            )
        mesh = geometry.extract_mesh()
        check_finite(mesh.vertices, "geometry", geometry, "vertex")
        if generator is not None and len(mesh.faces) == 0:
            raise ConfigError(
                f"The surface of geometry {type(geometry).__name__} has vanished: no triangle is left, and an empty "
                "surface cannot recover. Lower system.optimizer.lr_of for geometry.sdf, weaken the losses that shrink "
                "it (edge-length, sparsity), or start larger."
            )
        scene = _Scene(geometry, material, mesh, self._corner_normals(mesh))
        views = [slice(None)] if generator is not None else [slice(i, i + 1) for i in range(len(cameras))]
        parts = [self._draw(scene, _views(cameras, some), _lights(shading, some)) for some in views]
        seen = torch.cat(parts)
        opacity = seen[..., 3:4]
        rays = cameras.rays()
        behind = background(rays, generator).view(*rays.image_shape, 3)
        needs_normal = normal or shading.needs_normal
        return Rendered(
            image=seen[..., :3] + (1.0 - opacity) * behind,
            opacity=opacity,
            depth=seen[..., 4:5],
            normal=seen[..., 5:8] if needs_normal else None,
            mesh=mesh,
        )

    def _corner_normals(self, mesh: types.TriangleMesh) -> Float[Tensor, "N 3"]:
        """Return one normal per vertex (`smooth`) or per face (`flat`)."""
        if self.config.normals == "smooth":
            return vertex_normals(mesh.vertices, mesh.faces)
        return safe_normalize(scaled_face_normals(mesh.vertices, mesh.faces), smallest=1e-12)

    def _draw(self, scene: _Scene, cameras: Cameras, shading: Shading) -> Float[Tensor, "B H W 8"]:
        """Return opacity-weighted colour, opacity, distance and normal (3 + 1 + 1 + 3 channels)."""
        mesh, rays = scene.mesh, cameras.rays()
        canvas = mesh.vertices.new_zeros(len(rays), 8)
        if len(mesh.faces) == 0:
            return canvas.view(*rays.image_shape, 8)
        triangles = mesh.faces.int()
        clip = cameras.clip_positions(mesh.vertices, self.radius)
        rast, _ = api.rasterize(clip, triangles, (cameras.height, cameras.width))
        at = self._pixels(scene, rast, rays)
        field = FieldOutput(scene.geometry.surface_features(at.points), normal=at.normal)
        check_finite(field.features, "geometry", scene.geometry, "feature")
        color = scene.material(field, at.points, at.view, shading)
        check_finite(color, "material", scene.material, "colour")
        solid = torch.ones_like(at.distance)[:, None]
        values = torch.cat([color, solid, at.distance[:, None], at.normal], dim=1)
        picture = canvas.index_copy(0, at.pixel, values).view(*rays.image_shape, 8)
        return within_range(api.antialias(picture, rast, clip, triangles))

    def _pixels(self, scene: _Scene, rast: Float[Tensor, "B H W 4"], rays: Rays) -> _Pixels:
        """Intersect the rays of all covered pixels with the surface."""
        number = rast[..., 3].reshape(-1)
        pixel = (number > 0).nonzero()[:, 0]
        smooth = self.config.normals == "smooth"
        attributes = torch.cat([scene.mesh.vertices, scene.normals], dim=1) if smooth else scene.mesh.vertices
        found, _ = api.interpolate(attributes, rast, scene.mesh.faces.int())
        found = found.flatten(0, 2)[pixel]
        points = found[:, :3]
        normal = safe_normalize(found[:, 3:]) if smooth else scene.normals[number[pixel].detach().long() - 1]
        distance = ((points - rays.origin[pixel]) * rays.direction[pixel]).sum(dim=1).clamp(min=0.0)
        return _Pixels(pixel, rays.view_of(pixel), points, normal, distance)


@dataclass(frozen=True)
class _Scene:
    """Inputs that are the same for all views."""

    geometry: MeshGeometry
    material: Material
    mesh: types.TriangleMesh
    normals: Float[Tensor, "N 3"]


def within_range(picture: Float[Tensor, "B H W 8"]) -> Float[Tensor, "B H W 8"]:
    """Clamp antialiased pixels to valid ranges: at corners, blending from several sides can overshoot.

    Opacity and colours are clamped to [0, 1], distances to at least 0, normals to length at most 1.
    """
    opacity = picture[..., 3:4].detach()
    picture = picture * torch.where(opacity > 0.0, 1.0 / opacity.clamp(min=1.0), 0.0)
    normal = picture[..., 5:8]
    normal = normal / normal.detach().norm(dim=-1, keepdim=True).clamp(min=1.0)
    return torch.cat([picture[..., :4].clamp(0.0, 1.0), picture[..., 4:5].clamp(min=0.0), normal], dim=-1)


def _views(cameras: Cameras, some: slice) -> Cameras:
    return Cameras(cameras.c2w[some], cameras.fov_y_rad[some], cameras.height, cameras.width)


def _lights(shading: Shading, some: slice) -> Shading:
    return Shading(shading.mode, shading.light[some], shading.ambient[some], shading.diffuse[some])
