"""UV unwrapping of a mesh, and baking of the scene's base colour into its texture."""

from __future__ import annotations

import numpy as np
import torch
import xatlas
from jaxtyping import Float, Int
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from bozzetto.errors import ExportError
from bozzetto.kernels.api import composite
from bozzetto.kinds.geometry import MeshGeometry
from bozzetto.kinds.scene import Scene
from bozzetto.types import TriangleMesh
from bozzetto_plugins.exporter.surface import vertex_normals

PADDING = 4
"""Texels between charts; keeps filtering from mixing them."""
BATCH_TEXELS = 4_000_000
"""Texels tested against triangles at a time; bounds memory."""
EDGE_SLACK = 1e-4
"""Barycentric tolerance; assigns a texel on the edge of two triangles to at least one of them."""


def unwrap(mesh: TriangleMesh, texture_size: int) -> TriangleMesh:
    """Return the mesh with non-overlapping UVs; vertices on seams are split (xatlas).

    Raises:
        ExportError: no chart can be made of it.
    """
    atlas = xatlas.Atlas()
    # xatlas compares areas with a fixed epsilon; scaling to the unit cube keeps small objects from vanishing.
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    unit = (mesh.vertices - low) / (high - low).max().clamp(min=torch.finfo(mesh.vertices.dtype).tiny)
    atlas.add_mesh(unit.numpy(), mesh.faces.numpy().astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding = texture_size, PADDING
    atlas.generate(xatlas.ChartOptions(), packing)
    source, faces, uvs = atlas.get_mesh(0)
    if atlas.chart_count == 0 or not np.isfinite(uvs).all():
        raise ExportError(
            f"This surface cannot be unwrapped: its {len(mesh.faces)} triangles have next to no area. Raise "
            "export.mesh.resolution or export.mesh.max_faces, or train longer."
        )
    return TriangleMesh(
        vertices=mesh.vertices[torch.from_numpy(source.astype(np.int64))],
        faces=torch.from_numpy(faces.astype(np.int64)),
        uvs=torch.from_numpy(uvs).clamp(0.0, 1.0),
    )


def face_of_texel(
    uvs: Float[np.ndarray, "V 2"], faces: Int[np.ndarray, "T 3"], size: int
) -> Int[np.ndarray, "{size} {size}"]:
    """Return the index of the face that covers each texel's centre, -1 for none; row 0 is the top (v = 1).

    Triangles are grouped by the size of their bounding box, rounded up to a power of two, and each group is tested at
    once instead of looping over triangles.
    """
    corners = to_texels(uvs, size)[faces]
    low = np.clip(np.floor(corners.min(1)), 0, size - 1).astype(np.int64)
    extent = (np.ceil(corners.max(1)).astype(np.int64) - low).max(1).clip(1)
    side = 2 ** np.ceil(np.log2(extent)).astype(np.int64)
    covered = np.full((size, size), -1, dtype=np.int64)
    for box in np.unique(side):
        offset = np.stack(np.meshgrid(np.arange(box), np.arange(box), indexing="xy"), -1).reshape(-1, 2)
        of_box = np.flatnonzero(side == box)
        for some in np.array_split(of_box, max(1, len(of_box) * int(box) ** 2 // BATCH_TEXELS)):
            texel = low[some][:, None] + offset[None]
            weight = barycentric(texel + 0.5, corners[some][:, None])
            inside = (weight >= -EDGE_SLACK).all(-1) & (texel < size).all(-1)
            which, where = np.nonzero(inside)
            column, row = texel[which, where].T
            covered[row, column] = some[which]
    return covered


def to_texels(uvs: Float[np.ndarray, "V 2"], size: int) -> Float[np.ndarray, "V 2"]:
    """Convert UVs to (column, row) in a texture whose row 0 is at v = 1."""
    return np.stack([uvs[:, 0], 1.0 - uvs[:, 1]], -1).astype(np.float64) * size


def barycentric(
    point: Float[np.ndarray, "A B 2"], corners: Float[np.ndarray, "A B1 3 2"]
) -> Float[np.ndarray, "A B 3"]:
    """Return barycentric weights of points in the plane; all -1 for degenerate triangles. B1 is B or 1."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    area = _cross(b - a, c - a)
    safe = np.where(area == 0.0, 1.0, area)
    weight_b, weight_c = _cross(point - a, c - a) / safe, _cross(b - a, point - a) / safe
    weight = np.stack([1.0 - weight_b - weight_c, weight_b, weight_c], -1)
    return np.where((area == 0.0)[..., None], -1.0, weight)


def _cross(first: Float[np.ndarray, "A B1 2"], second: Float[np.ndarray, "A B2 2"]) -> Float[np.ndarray, "A B3"]:
    product: np.ndarray = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return product


def bake(
    mesh: TriangleMesh, scene: Scene, texture_size: int, samples: int, spacing: float, chunk_points: int
) -> TriangleMesh:
    """Return the mesh with the scene's albedo as its texture, dilated into the gaps between charts.

    Args:
        mesh: mesh with UVs, from `unwrap`.
        scene: provides density, features and albedo.
        texture_size: side of the texture, texels.
        samples: samples per texel, see `albedo_at`.
        spacing: distance between samples, world units.
        chunk_points: points evaluated at a time.

    Raises:
        ExportError: the albedo is not finite somewhere.
    """
    if mesh.uvs is None:
        raise ValueError("mesh: must have UVs")
    uvs, faces = mesh.uvs.numpy(), mesh.faces.numpy()
    face = face_of_texel(uvs, faces, texture_size)
    row, column = np.nonzero(face >= 0)
    covering = faces[face[row, column]]
    centre = np.stack([column, row], -1)[:, None] + 0.5
    share = barycentric(centre, to_texels(uvs, texture_size)[covering][:, None])
    weight = torch.from_numpy(share[:, 0].astype(np.float32))[:, :, None]
    corner = torch.from_numpy(covering)
    points = (mesh.vertices[corner] * weight).sum(1)
    inward = -torch.nn.functional.normalize((vertex_normals(mesh)[corner] * weight).sum(1), dim=-1)
    rays_at_once = max(1, chunk_points // samples)
    colors = [
        albedo_at(scene, p.to(scene.device), i.to(scene.device), samples, spacing).cpu()
        for p, i in zip(points.split(rays_at_once), inward.split(rays_at_once), strict=True)
    ]
    texture = torch.zeros(texture_size, texture_size, 3)
    texture[row, column] = torch.cat(colors)
    broken = int((~torch.isfinite(texture)).any(-1).sum())
    if broken:
        raise ExportError(
            f"The albedo of {type(scene.material).__name__} is not finite at {broken} of {len(points)} texels. "
            "The training diverged: export an earlier checkpoint, or train again with a lower learning rate."
        )
    nearest = distance_transform_edt(face < 0, return_distances=False, return_indices=True)
    spread = texture[torch.from_numpy(nearest[0].astype(np.int64)), torch.from_numpy(nearest[1].astype(np.int64))]
    return TriangleMesh(mesh.vertices, mesh.faces, mesh.uvs, spread.clamp(0.0, 1.0))


def albedo_at(
    scene: Scene, points: Float[Tensor, "R 3"], inward: Float[Tensor, "R 3"], samples: int, spacing: float
) -> Float[Tensor, "R 3"]:
    """Return the base colour of surface points as the volume renderer sees it: soft fields are translucent.

    A short ray from each point along `inward` is composited, with its last sample opaque. With one sample, or for a
    mesh geometry, the colour is that of the point itself.
    """
    if isinstance(scene.geometry, MeshGeometry):
        return scene.material.albedo(scene.geometry.surface_features(points))
    count = len(points)
    t_start = spacing * torch.arange(samples, device=points.device, dtype=points.dtype).expand(count, samples)
    along = points[:, None] + t_start[..., None] * inward[:, None]
    radius = scene.geometry.radius
    field = scene.geometry(along.reshape(-1, 3).clamp(-radius, radius))
    color = scene.material.albedo(field.features)
    if samples == 1:
        return color
    if field.density is None:
        raise ExportError(f"{type(scene.geometry).__name__} gives neither a surface nor a density: there is no skin.")
    starts = t_start.reshape(-1)
    offsets = samples * torch.arange(count + 1, device=points.device)
    seen = composite(field.density, starts, starts + spacing, color, offsets)
    return seen.accumulated + (1.0 - seen.opacity) * color.view(count, samples, 3)[:, -1]
