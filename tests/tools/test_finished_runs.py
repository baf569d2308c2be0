"""Tests that renders of exported meshes are aligned with the scene."""

from __future__ import annotations

import json
from pathlib import Path

import trimesh

import finished_runs
from bozzetto.engine.run_folder import RunFolder
from bozzetto.testing.fakes import cameras_around


def test_an_exported_mesh_is_drawn_in_world_units(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("summary: a run")
    (tmp_path / "manifest.json").write_text(json.dumps({"profile": "cpu", "stages": {}}))
    folder, cameras = RunFolder.existing(tmp_path), cameras_around([0.0, 90.0], size=16)
    assert finished_runs.look_at_mesh(folder, cameras) is None
    box = trimesh.creation.box((0.4, 1.2, 0.4))  # files are y up
    box.visual.vertex_colors = [255, 0, 0, 255]
    folder.export.mkdir()
    box.export(folder.export / "mesh.glb")
    shown = finished_runs.look_at_mesh(folder, cameras)
    assert shown is not None
    assert shown.shape == (2, 4, 16, 16)
    solid = shown[:, 3] > 0.5
    assert (solid.any(dim=2).sum(dim=1) > solid.any(dim=1).sum(dim=1)).all()  # taller than wide
    assert shown[:, 1:3].abs().max() == 0.0
    assert shown[:, 0].max() == 1.0
