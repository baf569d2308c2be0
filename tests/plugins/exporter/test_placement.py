"""Tests of origin, scale and axes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh

from bozzetto.testing.exporter import sphere_scene
from bozzetto.testing.scenes import SoftSphere
from bozzetto.types import TriangleMesh
from bozzetto_plugins.exporter.config import MeshConfig
from bozzetto_plugins.exporter.mesh import Mesh as MeshExporter
from bozzetto_plugins.exporter.placement import AXES, Placement, from_file_axes, to_file_axes

BOX = TriangleMesh(torch.tensor([[0.0, -1.0, 2.0], [1.0, 3.0, 4.0], [0.5, 0.0, 3.0]]), torch.tensor([[0, 1, 2]]))


@pytest.mark.parametrize(
    ("origin", "low", "high"),
    [
        ("none", [0.0, -2.0, 4.0], [2.0, 6.0, 8.0]),
        ("center", [-1.0, -4.0, -2.0], [1.0, 4.0, 2.0]),
        ("bottom", [-1.0, -4.0, 0.0], [1.0, 4.0, 4.0]),
    ],
)
def test_the_origin_goes_where_it_is_asked_and_lengths_are_scaled(origin: str, low: list, high: list) -> None:
    placement = Placement.of(BOX, origin, 2.0)
    placed = placement.apply(BOX)
    assert placed.vertices.amin(0).tolist() == low and placed.vertices.amax(0).tolist() == high
    torch.testing.assert_close(placement.undo(placed).vertices, BOX.vertices)


@pytest.mark.parametrize(
    ("suffix", "up", "front", "left"),
    [
        # A viewer in front of the object looks along -front; world +y is at their right.
        (".glb", [0, 1, 0], [0, 0, 1], [1, 0, 0]),
        (".obj", [0, 1, 0], [0, 0, 1], [1, 0, 0]),
        (".ply", [0, 0, 1], [0, -1, 0], [1, 0, 0]),
        (".stl", [0, 0, 1], [0, -1, 0], [1, 0, 0]),
    ],
)
def test_up_is_up_front_is_front_and_nothing_is_mirrored(suffix: str, up: list, front: list, left: list) -> None:
    path = Path(f"mesh{suffix}")
    world_x, world_y, world_z = to_file_axes(torch.eye(3), path).tolist()
    assert (world_z, world_x, world_y) == (up, front, left)
    assert torch.linalg.det(torch.tensor(AXES[suffix])).item() == 1.0
    some = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(from_file_axes(to_file_axes(some, path), path), some)


@pytest.mark.parametrize("kind", ["glb", "obj", "ply", "stl"])
def test_every_format_stands_on_the_ground_in_the_asked_size(tmp_path: Path, kind: str) -> None:
    config = MeshConfig(
        formats=(kind,), resolution=20, texture_size=32, max_faces=500, verify_views=2, verify_size=32,
        scale=0.3, origin="bottom",
    )  # fmt: skip
    scene = replace(sphere_scene(), geometry=SoftSphere(softness=0.002))
    result = MeshExporter(config).export(scene, tmp_path, lambda line: None)
    low, high = trimesh.load(tmp_path / f"mesh.{kind}", force="mesh").bounds
    up = 1 if kind in ("glb", "obj") else 2
    assert low[up] == pytest.approx(0.0, abs=1e-6) and high[up] == pytest.approx(0.3, abs=0.02)
    assert (low + high)[[0, 3 - up]] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert result.facts["size_m"] == pytest.approx([0.3] * 3, abs=0.02)
    # The comparison inverts both.
    assert result.facts["verified"][f"mesh.{kind}"]["silhouette_overlap"] > 0.93
    plain = MeshExporter(replace(config, scale=1.0, origin="none")).export(scene, tmp_path, lambda line: None)
    assert result.facts["verified"] == plain.facts["verified"]
