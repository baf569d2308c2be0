"""Exporter from a trained scene to mesh files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bozzetto import types
from bozzetto.kinds.exporter import Exported
from bozzetto.kinds.scene import Scene
from bozzetto_plugins.exporter.config import MeshConfig
from bozzetto_plugins.exporter.gltf import write_glb
from bozzetto_plugins.exporter.obj import write_obj
from bozzetto_plugins.exporter.placement import Placement
from bozzetto_plugins.exporter.ply import write_ply
from bozzetto_plugins.exporter.read_back import ReadBack, check_file
from bozzetto_plugins.exporter.stl import write_stl
from bozzetto_plugins.exporter.surface import is_watertight
from bozzetto_plugins.exporter.surface_source import Surface, surface_of
from bozzetto_plugins.exporter.texture_baking import bake, unwrap
from bozzetto_plugins.exporter.verify import compare, training_views

WRITERS: dict[str, Callable[[types.TriangleMesh, Path], Path | list[Path]]] = {
    "glb": write_glb,
    "obj": write_obj,
    "ply": write_ply,
    "stl": write_stl,
}


class Mesh:
    """Exporter of mesh.glb, mesh.obj (with mesh.mtl and texture.png), mesh.ply or mesh.stl, with verification.

    The surface is the geometry's own mesh, or marching cubes at a threshold of its density grid. It is cleaned,
    smoothed, simplified, unwrapped, baked and written. Each file is then read by another library, rendered, and
    compared with the training renderer.
    """

    def __init__(self, config: MeshConfig) -> None:
        self.config = config

    @torch.no_grad()
    def export(self, scene: Scene, folder: Path, report: Callable[[str], None]) -> Exported:
        """Write all configured formats into `folder`; report a summary line and one line of similarity per file.

        Raises:
            ExportError: the density or the albedo is not finite, there is no surface, the scene is filled to its
                border, or a file reads back wrong.
        """
        config = self.config
        surface = surface_of(scene, config)
        textured = self._textured(surface, scene)
        placement = Placement.of(textured, config.origin, config.scale)
        placed = placement.apply(textured)
        files: list[Path] = []
        found = {}
        for kind in config.formats:
            path = folder / f"mesh.{kind}"
            written = WRITERS[kind](placed, path)
            found[path.name] = check_file(path, placed)
            files += written if isinstance(written, list) else [written]
        facts = self._facts(surface, placed)
        report(self._summary(surface, facts, files))
        facts["verified"] = self._verify(found, placement, scene, report)
        return Exported(tuple(files), facts)

    def _textured(self, surface: Surface, scene: Scene) -> types.TriangleMesh:
        """Return the surface with UVs and the baked base colour."""
        config = self.config
        return bake(
            unwrap(surface.mesh, config.texture_size),
            scene,
            config.texture_size,
            samples=config.bake_samples,
            spacing=scene.geometry.radius / (config.resolution - 1),
            chunk_points=config.chunk_points,
        )

    def _facts(self, surface: Surface, placed: types.TriangleMesh) -> dict[str, Any]:
        """Return the facts recorded in the manifest."""
        size_m = placed.vertices.amax(0) - placed.vertices.amin(0)
        return {
            "vertices": len(surface.mesh.vertices),
            "faces": len(surface.mesh.faces),
            "loose_pieces_dropped": surface.dropped,
            "simplified_from": surface.simplified_from,
            "watertight": is_watertight(surface.mesh),
            "threshold": surface.threshold,
            "texture_size": self.config.texture_size,
            "size_m": [round(side, 4) for side in size_m.tolist()],
        }

    def _summary(self, surface: Surface, facts: dict[str, Any], files: list[Path]) -> str:
        """Return the summary line."""
        how = " (chosen by silhouette)" if self.config.threshold == "auto" else ""
        cut = "the geometry's own surface" if surface.threshold is None else f"threshold {surface.threshold:.4g}{how}"
        less = f" (simplified from {surface.simplified_from})" if surface.simplified_from else ""
        sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.2f} MB" for path in files)
        extent = " x ".join(f"{side:.2f}" for side in facts["size_m"])
        return (
            f"Mesh: {facts['vertices']} vertices, {facts['faces']} faces{less}, "
            f"{surface.dropped} loose pieces dropped, "
            f"{'watertight' if facts['watertight'] else 'not watertight'}, {cut}, {extent} m, "
            f"texture {self.config.texture_size} px; {sizes}; read back and checked."
        )

    def _verify(
        self, found: dict[str, ReadBack], placement: Placement, scene: Scene, report: Callable[[str], None]
    ) -> dict[str, Any]:
        """Return the similarity of each file to the training renderer, by file name; empty without comparison."""
        if self.config.verify_views == 0:
            return {}
        views = training_views(scene, self.config.verify_views, self.config.verify_size)
        if views is None:
            report("Verify: the scene renders latents, not colours, so the mesh cannot be compared with it.")
            return {}
        facts = {}
        for name, read in found.items():
            likeness = compare(replace(read, mesh=placement.undo(read.mesh)), views)
            report(f"Verify: {name} beside the training renderer, {len(views.cameras)} views: {likeness}.")
            facts[name] = likeness.facts()
        return facts
