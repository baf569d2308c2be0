"""Source of the exported triangles: the geometry's own mesh, or marching cubes on its density."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.errors import ExportError
from bozzetto.kinds.geometry import GivenMesh, MeshGeometry
from bozzetto.kinds.scene import Scene
from bozzetto.types import TriangleMesh
from bozzetto_plugins.exporter.config import FIELD_COMPONENT_SHARE, FIELD_FACES, MeshConfig
from bozzetto_plugins.exporter.density_grid import check_surface, sample_density, silhouette_threshold
from bozzetto_plugins.exporter.marching_cubes import extract_surface
from bozzetto_plugins.exporter.mesh_cleanup import keep_large_components, simplify, smooth
from bozzetto_plugins.exporter.pits import fill_pits


@dataclass(frozen=True)
class Surface:
    """Mesh ready for UV unwrapping, with its provenance."""

    mesh: TriangleMesh
    dropped: int
    """Number of connected components dropped."""
    threshold: float | None
    """Density threshold of marching cubes; None for a mesh geometry."""
    simplified_from: int | None
    """Triangle count before simplification; None if not simplified."""


def surface_of(scene: Scene, config: MeshConfig) -> Surface:
    """Return the scene's surface without small components and with at most `max_faces` triangles.

    A mesh of the user's own is unchanged by default.

    Raises:
        ExportError: there is no surface, it fills the scene, or a number is not finite.
    """
    if isinstance(scene.geometry, MeshGeometry):
        mesh, threshold = own_mesh(scene.geometry), None
    else:
        mesh, threshold = _marching_cubes(scene, config)
    given = isinstance(scene.geometry, GivenMesh) and scene.geometry.triangles_are_given
    most, share, dropped = config.max_faces, config.min_component_share, 0
    if share is not None or not given:
        mesh, dropped = keep_large_components(mesh, FIELD_COMPONENT_SHARE if share is None else share)
    if threshold is not None:
        mesh = smooth(mesh, config.smoothing_iterations)
    if most is None:
        most = len(mesh.faces) if given else FIELD_FACES
    before = len(mesh.faces)
    mesh = simplify(mesh, most)
    if len(mesh.faces) == 0:
        cure = "Train longer." if threshold is None else "Raise export.mesh.resolution, or lower export.mesh.threshold."
        raise ExportError(f"There is no surface left: no triangle has a measurable area. {cure}")
    return Surface(mesh, dropped, threshold, before if before > most else None)


def own_mesh(geometry: MeshGeometry) -> TriangleMesh:
    """Return the mesh of a mesh geometry, validated and on the CPU.

    Raises:
        ExportError: it has no faces, a vertex is not finite, or a vertex index is out of range.
    """
    name, mesh = type(geometry).__name__, geometry.extract_mesh()
    vertices, faces = mesh.vertices.detach().cpu().float(), mesh.faces.cpu().long()
    if len(faces) == 0:
        raise ExportError(
            f"The mesh of {name} is empty. Start from a coarse stage that shows something (stages.NAME.inherit), or "
            "train with a lower learning rate: a vanished surface cannot recover."
        )
    broken = int((~torch.isfinite(vertices)).any(-1).sum())
    if broken:
        raise ExportError(
            f"The mesh of {name} is broken: {broken} of {len(vertices)} vertices are not finite. The training "
            "diverged: export an earlier checkpoint, or train again with a lower learning rate."
        )
    if int(faces.min()) < 0 or int(faces.max()) >= len(vertices):
        raise ExportError(
            f"The mesh of {name} is broken: its faces name vertices from {int(faces.min())} to {int(faces.max())}, "
            f"and there are {len(vertices)}. Report this to the author of the geometry."
        )
    return TriangleMesh(vertices, faces)


def _marching_cubes(scene: Scene, config: MeshConfig) -> tuple[TriangleMesh, float]:
    """Return the surface of a density field, and the threshold at which it was extracted."""

    def density_at(points: Float[Tensor, "S 3"]) -> Float[Tensor, "S"]:
        chunks = points.split(config.chunk_points)
        return torch.cat([scene.geometry.density(chunk.to(scene.device)).cpu() for chunk in chunks])

    grid = sample_density(scene.geometry, config.resolution, config.chunk_points, scene.device)
    threshold = silhouette_threshold(grid) if config.threshold == "auto" else config.threshold
    check_surface(grid, threshold)
    fill_pits(grid, threshold, config.fill_reach)
    return extract_surface(grid, threshold, density_at), threshold
