"""Tests of the comparison with the training renderer, and of mesh geometries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch
import trimesh

from bozzetto.errors import ExportError
from bozzetto.kinds.geometry import MeshGeometry
from bozzetto.kinds.scene import Scene
from bozzetto.math.cameras import look_at_origin
from bozzetto.testing.exporter import PlainRenderer, sphere_scene
from bozzetto.testing.letter_box import CENTER, HALF, LETTER, LetterBox, cell_centers
from bozzetto.testing.scenes import SoftSphere
from bozzetto.types import Cameras, FieldOutput, Rendered, TriangleMesh
from bozzetto_plugins.exporter import mesh as mesh_module
from bozzetto_plugins.exporter.config import MeshConfig
from bozzetto_plugins.exporter.gltf import write_glb
from bozzetto_plugins.exporter.mesh import Mesh as MeshExporter
from bozzetto_plugins.exporter.read_back import ReadBack, read_mesh
from bozzetto_plugins.exporter.surface_source import own_mesh, surface_of
from bozzetto_plugins.exporter.texture_baking import bake, unwrap
from bozzetto_plugins.exporter.verify import Views, compare, draw, training_views

SMALL = MeshConfig(
    formats=("glb",), resolution=28, max_faces=1500, texture_size=128, bake_samples=1, verify_views=2, verify_size=48
)


def box(half: float = 0.5) -> TriangleMesh:
    shape = trimesh.creation.box((2.0 * half,) * 3)
    return TriangleMesh(torch.tensor(shape.vertices, dtype=torch.float32), torch.tensor(shape.faces))


class Ball(SoftSphere):
    """Smoothly coloured ball that is a mesh: features are the position."""

    def __init__(self, mesh: TriangleMesh | None = None) -> None:
        super().__init__()
        shape = trimesh.creation.icosphere(4, 0.5)
        self.mesh = mesh or TriangleMesh(torch.tensor(shape.vertices, dtype=torch.float32), torch.tensor(shape.faces))

    def extract_mesh(self) -> TriangleMesh:
        return self.mesh

    def surface_features(self, points: torch.Tensor) -> torch.Tensor:
        return 3.0 * points

    def forward(self, points: torch.Tensor, normal: bool = False) -> FieldOutput:
        return FieldOutput(self.surface_features(points), density=torch.zeros(len(points)))


def camera_in_front(size: int, distance: float = 3.0) -> Cameras:
    return Cameras(look_at_origin(torch.tensor([[distance, 0.0, 0.0]])), torch.tensor([0.7]), size, size)


def test_the_drawing_is_what_a_camera_sees(tmp_path: Path) -> None:
    """The letter, through unwrapping, baking, a file, another library and the rasteriser."""
    scene = replace(sphere_scene(), geometry=LetterBox())
    shape = trimesh.creation.box(2.0 * torch.tensor(HALF).numpy())
    vertices = torch.tensor(shape.vertices, dtype=torch.float32) + torch.tensor(CENTER)
    with torch.no_grad():
        baked = bake(unwrap(TriangleMesh(vertices, torch.tensor(shape.faces)), 256), scene, 256, 1, 0.01, 65536)
    cameras = camera_in_front(128)
    picture, covered, _ = draw(read_mesh(write_glb(baked, tmp_path / "t.glb")), cameras)
    assert (picture[~covered] == 1.0).all()
    per_unit = 64.0 / ((3.0 - CENTER[0] - HALF[0]) * torch.tan(0.5 * cameras.fov_y_rad).item())
    dark = [
        float(picture[0, int(64 - (CENTER[2] + up) * per_unit), int(64 + (CENTER[1] + right) * per_unit)].mean()) < 0.5
        for right, up in cell_centers()
    ]
    assert dark == [mark == "#" for mark in "".join(LETTER)]


def test_seams_do_not_show(tmp_path: Path) -> None:
    """Smooth colours stay smooth across charts: the error per pixel is bounded by triangle and texel size."""
    scene = replace(sphere_scene(), geometry=Ball())
    with torch.no_grad():
        baked = bake(unwrap(Ball().mesh, 256), scene, 256, 1, 0.01, 65536)
    cameras = camera_in_front(96)
    picture, covered, _ = draw(read_mesh(write_glb(baked, tmp_path / "t.glb")), cameras)
    rays = cameras.rays()
    along = (rays.origin * rays.direction).sum(-1)
    inside = along.square() - rays.origin.square().sum(-1) + 0.25
    points = rays.origin + (-along - inside.clamp(min=0.0).sqrt())[:, None] * rays.direction
    # Without the rim, where a ball and its triangulation differ most.
    well_inside = (inside > 0.02).view(1, 96, 96)
    assert bool(covered[well_inside].all())
    expected = torch.sigmoid(3.0 * points).view(1, 96, 96, 3)
    assert (picture - expected)[well_inside].abs().max() < 0.02


def test_a_mesh_is_compared_in_shape_and_colour() -> None:
    cameras = camera_in_front(64)
    red, green = torch.tensor([1.0, 0.0, 0.0]).expand(8, 3), torch.tensor([0.0, 1.0, 0.0]).expand(8, 3)
    picture, covered, _ = draw(ReadBack(box(), red), cameras)
    views = Views(cameras, picture, covered)
    same = compare(ReadBack(box(), red), views)
    assert same.silhouette_overlap == 1.0 and same.psnr_db == same.object_psnr_db == pytest.approx(100.0)
    other = compare(ReadBack(box(), green), views)
    # Two of three channels differ by 1 on the object.
    assert other.object_psnr_db == pytest.approx(-10.0 * torch.tensor(2.0 / 3.0).log10().item(), abs=1e-3)
    share = covered.float().mean()
    assert other.psnr_db == pytest.approx(-10.0 * (2.0 / 3.0 * share).log10().item(), abs=1e-3)
    smaller = compare(ReadBack(box(0.25)), views)
    assert smaller.psnr_db is None and smaller.facts() == {"silhouette_overlap": round(smaller.silhouette_overlap, 4)}
    assert 0.15 < smaller.silhouette_overlap < 0.3 and str(smaller).startswith("silhouette overlap 0.")


def test_faces_that_look_inward_are_seen_as_viewers_show_them() -> None:
    """With back-face culling, the far walls of an inverted box are visible."""
    cameras, shape = camera_in_front(64), box()
    red, green = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    colors = torch.where(shape.vertices[:, :1] > 0.0, red, green)
    picture, covered, backs = draw(ReadBack(shape, colors), cameras)
    assert backs == 0.0 and (picture[0, 32, 32] == red).all()
    inside_out = ReadBack(TriangleMesh(shape.vertices, shape.faces.flip(1)), colors)
    inner, _, backs = draw(inside_out, cameras)
    assert backs == 1.0 and (inner[0, 32, 32] == green).all()
    likeness = compare(inside_out, Views(cameras, picture, covered))
    assert likeness.back_faces == 1.0 and likeness.object_psnr_db < 10.0
    assert "100% of the foreground shows back-faces" in str(likeness)
    sheet = TriangleMesh(shape.vertices, shape.faces[:0])
    assert not draw(ReadBack(sheet, colors), cameras)[1].any()


def test_the_likeness_is_told_and_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    config = replace(SMALL, formats=("glb", "stl"))
    scene = replace(sphere_scene(), geometry=SoftSphere(softness=0.002))
    facts = MeshExporter(config).export(scene, tmp_path, lines.append).facts
    assert facts["watertight"] is True and facts["texture_size"] == 128
    likeness = facts["verified"]["mesh.glb"]
    assert likeness["psnr_db"] > 20.0 and likeness["silhouette_overlap"] > 0.95
    assert set(facts["verified"]["mesh.stl"]) == {"silhouette_overlap"}
    assert lines[1].startswith("Verify: mesh.glb beside the training renderer, 2 views: PSNR ")
    assert lines[2].startswith("Verify: mesh.stl beside the training renderer, 2 views: silhouette overlap ")
    assert MeshExporter(replace(config, verify_views=0)).export(scene, tmp_path, lines.append).facts["verified"] == {}


def test_what_renders_no_colours_is_not_compared(tmp_path: Path) -> None:
    class Latent(PlainRenderer):
        def __call__(self, *inputs: object, normal: bool = False, generator: object = None) -> Rendered:
            return replace(super().__call__(*inputs, normal=normal), space="latent")

    scene, lines = replace(sphere_scene(), renderer=Latent()), []
    assert training_views(scene, 1, 16) is None
    assert MeshExporter(SMALL).export(scene, tmp_path, lines.append).facts["verified"] == {}
    assert "renders latents, not colours" in lines[-1]


def test_a_geometry_that_is_a_mesh_needs_no_marching_cubes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*inputs: object) -> None:
        raise AssertionError("marching cubes ran")

    monkeypatch.setattr("bozzetto_plugins.exporter.surface_source.sample_density", never)
    ball = Ball()
    assert isinstance(ball, MeshGeometry) and not isinstance(SoftSphere(), MeshGeometry)
    lines: list[str] = []
    scene = replace(sphere_scene(), geometry=ball)
    result = MeshExporter(replace(SMALL, max_faces=20_000)).export(scene, tmp_path, lines.append)
    assert result.facts["threshold"] is None and result.facts["faces"] == len(ball.mesh.faces)
    assert "the geometry's own surface" in lines[0]
    loaded = trimesh.load(tmp_path / "mesh.glb", force="mesh", process=False)
    colors = torch.tensor(loaded.visual.to_color().vertex_colors[:, :3]) / 255.0
    world = torch.tensor(loaded.vertices[:, [2, 0, 1]], dtype=torch.float32)
    assert (colors - torch.sigmoid(3.0 * world)).abs().max() < 0.06


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        (TriangleMesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64)), "The mesh of Ball is empty. Start from a coarse stage"),
        (TriangleMesh(torch.full((3, 3), float("nan")), torch.tensor([[0, 1, 2]])), "broken: 3 of 3 vertices are not finite"),
        (TriangleMesh(torch.zeros(3, 3), torch.tensor([[0, 1, 3]])), "its faces name vertices from 0 to 3, and there are 3"),
    ],
)  # fmt: skip
def test_an_empty_or_broken_mesh_is_an_error_that_says_what_to_do(
    mesh: TriangleMesh, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=message):
        own_mesh(Ball(mesh))
    scene: Scene = replace(sphere_scene(), geometry=Ball(mesh))
    with pytest.raises(ExportError, match=message):
        MeshExporter(SMALL).export(scene, tmp_path, lambda line: None)
    assert list(tmp_path.iterdir()) == []


class OwnBall(Ball):
    triangles_are_given = True


def test_own_triangles_are_kept_unless_asked_otherwise(tmp_path: Path) -> None:
    """More than 20000 triangles, and a small loose component."""
    parts = [trimesh.creation.icosphere(5, 0.5), trimesh.creation.icosphere(0, 0.05).apply_translation((0.8, 0, 0))]
    shape = trimesh.util.concatenate(parts)
    mesh = TriangleMesh(torch.tensor(shape.vertices, dtype=torch.float32), torch.tensor(shape.faces))
    config, name = replace(SMALL, max_faces=None), "simplified from"
    found = surface_of(replace(sphere_scene(), geometry=OwnBall(mesh)), config)
    assert torch.equal(found.mesh.faces, mesh.faces) and found.simplified_from is None and found.dropped == 0
    other = surface_of(replace(sphere_scene(), geometry=Ball(mesh)), config)
    assert len(other.mesh.faces) <= 20_000 and other.simplified_from == 20_480 and other.dropped == 1
    lines: list[str] = []
    asked = replace(config, max_faces=500, min_component_share=0.1, verify_views=0)
    MeshExporter(asked).export(replace(sphere_scene(), geometry=OwnBall(mesh)), tmp_path, lines.append)
    assert f"({name} 20480), 1 loose pieces dropped" in lines[0]


def test_a_mesh_of_points_is_an_error(tmp_path: Path) -> None:
    scene = replace(sphere_scene(), geometry=Ball(TriangleMesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]))))
    with pytest.raises(ExportError, match="There is no surface left: no triangle has a measurable area"):
        MeshExporter(SMALL).export(scene, tmp_path, lambda line: None)


def test_every_format_of_the_config_has_a_writer() -> None:
    one_format, _ = get_args(get_type_hints(MeshConfig)["formats"])
    assert set(get_args(one_format)) == set(mesh_module.WRITERS)
