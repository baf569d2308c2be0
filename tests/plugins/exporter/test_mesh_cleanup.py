"""Tests of loose components, cavities, smoothing and simplification."""

from __future__ import annotations

import pytest
import torch
import trimesh

from bozzetto.types import TriangleMesh
from bozzetto_plugins.exporter.mesh_cleanup import keep_large_components, simplify, smooth
from bozzetto_plugins.exporter.surface import is_watertight, signed_volume


def ball(subdivisions: int, radius: float, x: float = 0.0) -> TriangleMesh:
    surface = trimesh.creation.icosphere(subdivisions, radius)
    vertices = torch.tensor(surface.vertices, dtype=torch.float32) + torch.tensor([x, 0.0, 0.0])
    return TriangleMesh(vertices, torch.tensor(surface.faces))


def joined(*meshes: TriangleMesh) -> TriangleMesh:
    vertices, faces, count = [], [], 0
    for mesh in meshes:
        vertices.append(mesh.vertices)
        faces.append(mesh.faces + count)
        count += len(mesh.vertices)
    return TriangleMesh(torch.cat(vertices), torch.cat(faces))


def turned_inside_out(mesh: TriangleMesh) -> TriangleMesh:
    return TriangleMesh(mesh.vertices, mesh.faces.flip(1))


def test_small_pieces_go_and_large_ones_stay() -> None:
    scene = joined(ball(3, 0.5), ball(2, 0.3, x=1.0), ball(0, 0.1, x=2.0))  # 1280, 320 and 20 faces
    kept, dropped = keep_large_components(scene, 0.05)
    assert dropped == 1 and len(kept.faces) == 1600
    assert kept.vertices[:, 0].max() < 1.5, "unused vertices are gone too"
    assert len(keep_large_components(scene, 0.0)[0].faces) == 1620


def test_the_largest_piece_stays_even_if_its_share_is_small() -> None:
    crowd = joined(*(ball(0, 0.1, x=float(x)) for x in range(5)))
    kept, dropped = keep_large_components(crowd, 0.9)
    assert dropped == 4 and len(kept.faces) == 20


def test_walls_of_cavities_go_even_if_they_have_most_faces() -> None:
    hollow = joined(ball(2, 0.5), turned_inside_out(ball(3, 0.4)))
    kept, dropped = keep_large_components(hollow, 0.01)
    assert dropped == 1 and len(kept.faces) == 320 and signed_volume(kept) > 0.0


def test_smoothing_flattens_noise_and_keeps_the_size() -> None:
    smooth_ball = ball(3, 0.5)
    noise = 0.01 * torch.randn(len(smooth_ball.vertices), 3, generator=torch.Generator().manual_seed(0))
    rough = TriangleMesh(smooth_ball.vertices + noise, smooth_ball.faces)
    smoothed = smooth(rough, 5)
    assert smoothed.vertices.norm(dim=-1).std() < 0.6 * rough.vertices.norm(dim=-1).std()
    assert signed_volume(smoothed) == pytest.approx(signed_volume(smooth_ball), rel=0.02)
    assert smooth(rough, 0) is rough


def test_simplification_reaches_the_limit_and_keeps_the_shape() -> None:
    reduced = simplify(ball(4, 0.5), 500)
    assert len(reduced.faces) <= 500
    assert is_watertight(reduced)
    assert signed_volume(reduced) == pytest.approx(signed_volume(ball(4, 0.5)), rel=0.03)


def test_small_meshes_keep_their_faces_but_not_those_without_area() -> None:
    mesh = ball(1, 0.5)
    assert torch.equal(simplify(mesh, 1000).faces, mesh.faces)
    flat = TriangleMesh(mesh.vertices, torch.cat([mesh.faces, torch.tensor([[0, 0, 1]])]))
    assert len(simplify(flat, 1000).faces) == len(mesh.faces)
