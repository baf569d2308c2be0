"""Fits a surface to images of a known object: an end-to-end test of geometry, renderer and gradients.

Objects are made in code. A case takes any `MeshGeometry` and mesh renderer, so the same scene serves the test suite at
a small size, a benchmark at full size, and the authors of other geometries.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree
from torch import Tensor

from bozzetto.kernels import api
from bozzetto.kinds.geometry import MeshGeometry, module
from bozzetto.kinds.renderer import Renderer
from bozzetto.math.cameras import look_at_origin, spherical_position
from bozzetto.math.meshes import laplacian_smoothness, normal_consistency
from bozzetto.testing.scenes import PlainBackground, PlainMaterial
from bozzetto.types import Cameras, TriangleMesh

__all__ = [
    "LARGEST_CHAMFER",
    "OBJECTS",
    "QUICK",
    "Fitted",
    "FittingSettings",
    "blob",
    "cameras_on_sphere",
    "chair",
    "chamfer_distance",
    "draw",
    "fit",
    "picture_loss",
    "torus",
]

BOXES_OF_CHAIR = (
    ((0.0, 0.0, -0.05), (0.60, 0.60, 0.08)),
    ((-0.26, 0.0, 0.29), (0.08, 0.60, 0.60)),
    *(((x, y, -0.345), (0.08, 0.08, 0.51)) for x in (-0.26, 0.26) for y in (-0.26, 0.26)),
)
"""Centres and sides of seat, back and legs, world units; the boxes touch and do not overlap."""


def blob() -> TriangleMesh:
    """Return an object of genus 0: a ball with bumps."""
    ball = trimesh.creation.icosphere(subdivisions=4)
    x, y, z = np.asarray(ball.vertices).T
    reach = 0.5 + 0.08 * np.sin(4.0 * x + 1.0) * np.cos(3.0 * y) + 0.1 * z * x + 0.05 * np.cos(5.0 * z + 2.0 * y)
    return _mesh(np.asarray(ball.vertices) * reach[:, None], ball.faces)


def torus() -> TriangleMesh:
    """Return an object of genus 1: a tilted torus."""
    ring = trimesh.creation.torus(major_radius=0.45, minor_radius=0.17, major_sections=64, minor_sections=32)
    ring.apply_transform(trimesh.transformations.rotation_matrix(0.5, (1.0, 0.3, 0.0)))
    return _mesh(ring.vertices, ring.faces)


def chair() -> TriangleMesh:
    """Return a chair: four legs, each a tenth of the width thick, a seat and a back; open below and at the sides."""
    parts = []
    for centre, sides in BOXES_OF_CHAIR:
        part = trimesh.creation.box(extents=sides)
        part.apply_translation(centre)
        parts.append(part)
    whole = trimesh.util.concatenate(parts)
    assert isinstance(whole, trimesh.Trimesh)
    return _mesh(whole.vertices, whole.faces)


OBJECTS: Mapping[str, Callable[[], TriangleMesh]] = {"blob": blob, "torus": torus, "chair": chair}

LARGEST_CHAMFER: Mapping[str, float] = {"blob": 0.015, "torus": 0.015, "chair": 0.03}
"""Maximum Chamfer distance of a fit from a sphere, as measured by `chamfer_distance`."""


@dataclass(frozen=True)
class FittingSettings:
    """Frozen settings of a fit."""

    views: int = 24
    size: int = 128
    """Image side in pixels."""
    views_per_step: int = 4
    steps: int = 200
    lr: float = 0.2
    """Initial learning rate; decays to a tenth along a cosine."""
    smoothness: float = 0.02
    """Weight of the Laplacian smoothness and the normal consistency."""
    samples: int = 20000
    """Points on each surface for the Chamfer distance."""
    seed: int = 0


QUICK = FittingSettings(views=12, size=32, views_per_step=2, steps=20, samples=2000)
"""Settings for a run of seconds, too short to reach the object."""


@dataclass(frozen=True)
class Fitted:
    """Result of a fit."""

    chamfer: float
    """Chamfer distance as a fraction of the object's longest side."""
    seconds: float
    loss: float
    """Loss of the last step."""


def fit(geometry: MeshGeometry, renderer: Renderer, target: TriangleMesh, settings: FittingSettings) -> Fitted:
    """Optimise a geometry to match `target` in mask, depth and normals from all sides.

    Uses Adam over all trainable parameters of the geometry.
    """
    started = time.monotonic()
    cameras = cameras_on_sphere(settings.views, settings.size)
    truth = draw(target, cameras, geometry.radius)
    generator = torch.Generator().manual_seed(settings.seed)
    parameters = [p for p in module(geometry).parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=settings.lr, betas=(0.9, 0.99), eps=1e-15)
    material, background = PlainMaterial(), PlainBackground()
    value = torch.tensor(math.nan)
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * (0.1 + 0.45 * (1.0 + math.cos(math.pi * step / settings.steps)))
        chosen = torch.randperm(settings.views, generator=generator)[: settings.views_per_step]
        some = Cameras(cameras.c2w[chosen], cameras.fov_y_rad[chosen], cameras.height, cameras.width)
        shading = material.eval_shading(some)
        seen = renderer(some, geometry, material, background, shading, normal=True, generator=generator)
        mesh = seen.mesh
        assert seen.normal is not None and mesh is not None, "the renderer must draw meshes, and their normals"
        value = picture_loss(torch.cat([seen.opacity, seen.depth, seen.normal], dim=-1), truth[chosen])
        value = value + settings.smoothness * (
            laplacian_smoothness(mesh.vertices, mesh.faces) + normal_consistency(mesh.vertices, mesh.faces)
        )
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
    with torch.no_grad():
        distance = chamfer_distance(geometry.extract_mesh(), target, settings.samples, settings.seed)
    return Fitted(distance, time.monotonic() - started, float(value.detach()))


def picture_loss(seen: Tensor, truth: Tensor) -> Tensor:
    """Compute the loss of "B H W 5" images (opacity, distance, normal).

    Squared error of the masks, absolute errors of distances and normals where both are solid. A mask has gradients at
    its silhouette only, so surfaces outside of the target are pushed away from the camera, which allows holes to open.
    """
    solid = seen[..., 0].detach() > 0.99
    both, extra = solid & (truth[..., 0] > 0.99), solid & (truth[..., 0] < 0.01)
    error = (seen - truth).abs()
    distance, normal = error[both][:, 1].sum(), error[both][:, 2:].sum()
    away = -seen[..., 1][extra].sum()
    return 10.0 * error[..., 0].square().mean() + (distance + away + 0.1 * normal) / solid.sum().clamp(min=1)


def cameras_on_sphere(count: int, size: int, distance: float = 3.2, fov_y_deg: float = 40.0) -> Cameras:
    """Return cameras spread evenly over all directions (a Fibonacci lattice), looking at the origin."""
    index = torch.arange(count) + 0.5
    elevation = torch.rad2deg(torch.asin(1.0 - 2.0 * index / count))
    azimuth = (index * 180.0 * (3.0 - math.sqrt(5.0))) % 360.0
    position = spherical_position(azimuth, elevation, torch.full_like(azimuth, distance))
    fov_y_rad = torch.full_like(azimuth, math.radians(fov_y_deg))
    return Cameras(look_at_origin(position), fov_y_rad, size, size)


@torch.no_grad()
def draw(mesh: TriangleMesh, cameras: Cameras, radius: float) -> Tensor:
    """Render mask, distance along the ray and flat normal of a mesh, "B H W 5"; masks are antialiased."""
    triangles = mesh.faces.int()
    clip = cameras.clip_positions(mesh.vertices, radius)
    rast, _ = api.rasterize(clip, triangles, (cameras.height, cameras.width))
    hit = rast[..., 3:] > 0
    points, _ = api.interpolate(mesh.vertices, rast, triangles)
    distance = (points - cameras.position[:, None, None]).norm(dim=-1, keepdim=True)
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
    normal = normal[(rast[..., 3].long() - 1).clamp(min=0)]
    picture = torch.cat([torch.ones_like(distance), distance, normal], dim=-1) * hit
    return api.antialias(picture, rast, clip, triangles)


def chamfer_distance(found: TriangleMesh, target: TriangleMesh, samples: int, seed: int) -> float:
    """Compute the symmetric Chamfer distance as a fraction of the target's longest side.

    It is the mean distance from points on each surface to the nearest point of the other, averaged over both
    directions. Points of the target inside its other parts are ignored, since they are not visible.
    """
    a, b = (_surface_points(mesh, samples, seed) for mesh in (found, target))
    b = b[~_inside_boxes(b)] if len(target.faces) == 12 * len(BOXES_OF_CHAIR) else b
    extent = float((target.vertices.amax(0) - target.vertices.amin(0)).max())
    return 0.5 * (_mean_distance(a, b) + _mean_distance(b, a)) / extent


def _mean_distance(points: np.ndarray, surface: np.ndarray) -> float:
    """Mean distance from each point to the nearest of the surface's."""
    distance, _ = cKDTree(surface).query(points)
    return float(np.mean(distance))


def _surface_points(mesh: TriangleMesh, count: int, seed: int) -> np.ndarray:
    surface = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    points: np.ndarray = trimesh.sample.sample_surface(surface, count, seed=seed)[0]
    return points


def _inside_boxes(points: np.ndarray) -> np.ndarray:
    """Mark the points where two parts of the chair touch."""
    touching = np.zeros(len(points), dtype=np.int64)
    for centre, sides in BOXES_OF_CHAIR:
        touching += (np.abs(points - np.asarray(centre)) <= 0.5 * np.asarray(sides) + 1e-6).all(1)
    return touching > 1


def _mesh(vertices: np.ndarray, faces: np.ndarray) -> TriangleMesh:
    return TriangleMesh(
        torch.from_numpy(np.array(vertices, dtype=np.float32)), torch.from_numpy(np.array(faces, dtype=np.int64))
    )
