"""Analytic mesh scene for tests of mesh renderers and mesh losses."""

from __future__ import annotations

import torch
import trimesh
from jaxtyping import Float, Int
from torch import Tensor, nn

from bozzetto.kernels import api
from bozzetto.types import Cameras, FieldOutput, Rendered, TriangleMesh

__all__ = ["BallMesh", "draw_plainly"]


class BallMesh(nn.Module):
    """Mesh geometry: an icosphere at the origin with a trainable radius and one trainable colour.

    Args:
        radius: half side of the scene's cube.
        sphere_radius: radius of the ball, world units.
        subdivisions: subdivisions of the icosahedron; 3 gives 1280 triangles with corners on the sphere.
    """

    directions: Float[Tensor, "V 3"]
    faces: Int[Tensor, "T 3"]

    def __init__(self, radius: float = 1.0, sphere_radius: float = 0.5, subdivisions: int = 3) -> None:
        super().__init__()
        self.radius, self.feature_count = radius, 3
        ball = trimesh.creation.icosphere(subdivisions=subdivisions)
        self.register_buffer("directions", torch.tensor(ball.vertices, dtype=torch.float32))
        self.register_buffer("faces", torch.tensor(ball.faces, dtype=torch.int64))
        self.sphere_radius = nn.Parameter(torch.tensor(sphere_radius))
        self.feature = nn.Parameter(torch.tensor([1.0, 0.0, -1.0]))
        """Features of every point."""

    def extract_mesh(self) -> TriangleMesh:
        return TriangleMesh(self.sphere_radius * self.directions, self.faces)

    def surface_features(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S F"]:
        return self.feature.expand(len(points), -1)

    def forward(self, points: Float[Tensor, "S 3"], normal: bool = False) -> FieldOutput:
        return FieldOutput(self.surface_features(points), sdf=points.norm(dim=-1) - self.sphere_radius)

    def density(self, points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        return points.new_zeros(len(points))

    def set_step(self, step: int) -> None:
        """Do nothing; there are no schedules."""

    def total_variation(self) -> Float[Tensor, ""]:
        """Return 0; there is no grid."""
        return self.feature.new_zeros(())


def draw_plainly(geometry: BallMesh, cameras: Cameras) -> Rendered:
    """Render the ball on black like a mesh renderer: flat, unlit, without antialiasing."""
    mesh, rays = geometry.extract_mesh(), cameras.rays()
    clip = cameras.clip_positions(mesh.vertices, geometry.radius)
    rast, _ = api.rasterize(clip, mesh.faces.int(), (cameras.height, cameras.width))
    points, _ = api.interpolate(mesh.vertices, rast, mesh.faces.int())
    opacity = (rast[..., 3:] > 0).float()
    away = points - rays.origin.view_as(points)
    return Rendered(
        image=torch.sigmoid(geometry.feature) * opacity,
        opacity=opacity,
        depth=away.norm(dim=-1, keepdim=True) * opacity,
        normal=torch.nn.functional.normalize(points, dim=-1),
        mesh=mesh,
    )
