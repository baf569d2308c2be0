"""Tests of `mesh` end to end: orientation, colour, contents of the files, and every error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from torch import Tensor

from bozzetto.errors import ExportError
from bozzetto.kinds.exporter import Exported
from bozzetto.kinds.scene import Scene
from bozzetto.testing.exporter import ExporterContract, sphere_scene
from bozzetto.testing.scenes import PlainMaterial, SoftSphere
from bozzetto.types import FieldOutput
from bozzetto_plugins.exporter.config import MeshConfig
from bozzetto_plugins.exporter.mesh import Mesh

SMALL = MeshConfig(
    resolution=24,
    max_faces=1500,
    texture_size=128,
    smoothing_iterations=0,
    formats=("glb", "obj", "ply", "stl"),
    verify_views=2,
    verify_size=24,
)
CENTER = torch.tensor([0.1, 0.0, -0.1])
GAIN = 3.0


class MarkedBall(SoftSphere):
    """Ball whose red increases toward world +y, green toward +z, blue toward +x; slightly off the origin."""

    def forward(self, points: Tensor, normal: bool = False) -> FieldOutput:
        side = GAIN * (points - CENTER)[:, [1, 2, 0]]
        return FieldOutput(side / self.sphere_radius, density=self.density(points))

    def density(self, points: Tensor) -> Tensor:
        return super().density(points - CENTER)


def ball_scene(geometry: SoftSphere | None = None) -> Scene:
    ball = geometry or MarkedBall(softness=0.03)
    return replace(sphere_scene(), geometry=ball, material=PlainMaterial())


def export(config: MeshConfig, scene: Scene, folder: Path) -> tuple[Exported, str]:
    """Return the exported files and the summary line."""
    lines: list[str] = []
    result = Mesh(config).export(scene, folder, lines.append)
    return result, lines[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported, str]:
    folder = tmp_path_factory.mktemp("mesh")
    return folder, *export(SMALL, ball_scene(), folder)


class TestMesh(ExporterContract):
    def make(self) -> Mesh:
        return Mesh(SMALL)


def texture_colors(loaded: trimesh.Trimesh) -> np.ndarray:
    """Return the colour of each vertex in [0, 1], looked up through its UV by trimesh."""
    return loaded.visual.to_color().vertex_colors[:, :3] / 255.0


def turned(vectors: np.ndarray, name: str) -> np.ndarray:
    """Return vectors of a file as (world y, z, x); glTF and OBJ are y up, front +z; PLY and STL z up, front -y."""
    return vectors if name in ("mesh.glb", "mesh.obj") else vectors[:, [0, 2, 1]] * [1.0, 1.0, -1.0]


def place(points: np.ndarray, name: str) -> np.ndarray:
    """Return points of a file relative to the ball's centre: red, green and blue follow the columns."""
    return turned(points, name) - CENTER[[1, 2, 0]].numpy()


def expected_colors(place: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-GAIN * place / 0.5))


@pytest.mark.parametrize("name", ["mesh.glb", "mesh.obj", "mesh.ply"])
def test_left_is_left_and_up_is_up_in_the_file(exported: tuple[Path, Exported, str], name: str) -> None:
    loaded = trimesh.load(exported[0] / name, force="mesh", process=False)
    colors = texture_colors(loaded) if name != "mesh.ply" else loaded.visual.vertex_colors[:, :3] / 255.0
    sides = place(loaded.vertices, name)
    for axis, word in enumerate(("red is world +y", "green is world +z", "blue is world +x")):
        assert colors[sides[:, axis] > 0.3, axis].min() > 0.7, word
        assert colors[sides[:, axis] < -0.3, axis].max() < 0.3, word
    assert np.abs(colors - expected_colors(sides)).max() < 0.15


@pytest.mark.parametrize("name", ["mesh.glb", "mesh.obj"])
def test_the_texture_has_the_fields_colour_inside_every_face(exported: tuple[Path, Exported, str], name: str) -> None:
    loaded = trimesh.load(exported[0] / name, force="mesh", process=False)
    material = loaded.visual.material
    picture = np.asarray(getattr(material, "baseColorTexture", None) or material.image).astype(float)[..., :3] / 255.0
    uv, points = loaded.visual.uv[loaded.faces].mean(1), loaded.vertices[loaded.faces].mean(1)
    # trimesh's UV origin is at the lower left.
    column, row = (uv[:, 0] * 128).astype(int), ((1.0 - uv[:, 1]) * 128).astype(int)
    assert np.abs(picture[row, column] - expected_colors(place(points, name))).max() < 0.08


@pytest.mark.parametrize("name", ["mesh.glb", "mesh.obj", "mesh.ply", "mesh.stl"])
def test_the_ball_is_a_closed_ball_and_not_inside_out(exported: tuple[Path, Exported, str], name: str) -> None:
    loaded = trimesh.load(exported[0] / name, force="mesh", process=False)
    radius = np.linalg.norm(place(loaded.vertices, name), axis=1)
    assert np.ptp(radius) < 0.01
    assert loaded.volume == pytest.approx(4.0 / 3.0 * np.pi * radius.mean() ** 3, rel=0.03)
    outward = place(loaded.triangles_center, name)
    cosine = (turned(loaded.face_normals, name) * outward).sum(1) / np.linalg.norm(outward, axis=1)
    assert cosine.min() > 0.5 and np.median(cosine) > 0.99
    assert len(loaded.faces) <= SMALL.max_faces
    if name in ("mesh.glb", "mesh.obj"):
        assert 0.0 <= loaded.visual.uv.min() <= loaded.visual.uv.max() <= 1.0


def test_the_files_and_the_report(exported: tuple[Path, Exported, str]) -> None:
    folder, result, line = exported
    names = [path.name for path in result.files]
    assert names == ["mesh.glb", "mesh.obj", "mesh.mtl", "texture.png", "mesh.ply", "mesh.stl"]
    assert Image.open(folder / "texture.png").size == (128, 128)
    assert "map_Kd texture.png" in (folder / "mesh.mtl").read_text()
    assert (folder / "mesh.obj").read_text().startswith("mtllib mesh.mtl\n")
    for word in ("vertices", "0 loose pieces dropped", ", watertight,", "(chosen by silhouette)", "texture 128 px"):
        assert word in line


def test_loose_pieces_are_dropped(tmp_path: Path) -> None:
    class WithCrumb(SoftSphere):
        def density(self, points: Tensor) -> Tensor:
            crumb = 200.0 * ((points - 0.85).norm(dim=-1) < 0.1)
            return super().density(points) + crumb

    scene = ball_scene(WithCrumb(softness=0.03))
    _, line = export(replace(SMALL, min_component_share=0.1), scene, tmp_path)
    assert "1 loose pieces dropped" in line
    assert np.abs(trimesh.load(tmp_path / "mesh.glb", force="mesh").vertices).max() < 0.7
    _, line = export(replace(SMALL, min_component_share=0.0), scene, tmp_path)
    assert "0 loose pieces dropped" in line


def test_an_object_cut_by_the_border_is_closed_there(tmp_path: Path) -> None:
    class Column(SoftSphere):
        def density(self, points: Tensor) -> Tensor:
            return 50.0 * torch.sigmoid((0.4 - points[:, :2].norm(dim=-1)) / 0.05)

    _, line = export(SMALL, ball_scene(Column()), tmp_path)
    assert ", watertight," in line
    height = trimesh.load(tmp_path / "mesh.glb", force="mesh").extents[1]
    assert 2.0 < height < 2.0 + 2.0 * 2.0 / 23.0, "world z is the file's y"


def test_a_given_threshold_is_used(tmp_path: Path) -> None:
    _, line = export(replace(SMALL, threshold=199.0), ball_scene(), tmp_path)
    assert "threshold 199," in line
    small = trimesh.load(tmp_path / "mesh.glb", force="mesh").extents.max()
    export(replace(SMALL, threshold=1.0), ball_scene(), tmp_path)
    assert trimesh.load(tmp_path / "mesh.glb", force="mesh").extents.max() > small + 0.2


def test_an_empty_scene_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    empty = ball_scene(SoftSphere(density=0.001))
    with pytest.raises(ExportError) as caught:
        export(SMALL, empty, tmp_path)
    assert str(caught.value) == (
        "The scene is empty: its most opaque ray absorbs 0.1% of the light and its largest density is 0.001. "
        "Train longer, or with a weaker sparsity loss or a stronger initial density."
    )
    with pytest.raises(ExportError) as caught:
        export(replace(SMALL, threshold=25.0), empty, tmp_path)
    assert str(caught.value) == (
        "There is no surface: the largest density is 0.001, below the threshold 25. "
        "Train longer, or lower export.mesh.threshold, or set it to 'auto'."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_full_scene_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for threshold in ("auto", 10.0):
        with pytest.raises(ExportError) as caught:
            export(replace(SMALL, threshold=threshold), ball_scene(SoftSphere(sphere_radius=9.0)), tmp_path)
        assert str(caught.value).startswith("The scene is filled to its border: the density is above the threshold")
        assert "over 100% of the sides of its cube (largest density 200)" in str(caught.value)
        assert "Raise export.mesh.threshold, or train longer with a stronger sparsity loss." in str(caught.value)


def test_a_density_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as caught:
        export(SMALL, ball_scene(SoftSphere(density=float("nan"))), tmp_path)
    assert str(caught.value) == (
        "The density of SoftSphere is not finite at 13824 of 13824 points. The training diverged: export an earlier "
        "checkpoint, or train again with a lower learning rate."
    )


def test_an_albedo_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    scene = ball_scene()
    scene.material.gain.data.fill_(float("nan"))
    with pytest.raises(ExportError, match=r"The albedo of PlainMaterial is not finite at [0-9]+ of [0-9]+ texels"):
        export(SMALL, scene, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formats": ()}, "formats: must name at least one of glb, obj, ply, stl"),
        ({"resolution": 4}, "resolution: must lie in [8, 1024], got 4"),
        ({"resolution": 2000}, "resolution: must lie in [8, 1024], got 2000"),
        ({"max_faces": 3}, "max_faces: must lie in [4, 16000000], got 3"),
        ({"texture_size": 8}, "texture_size: must lie in [16, 8192], got 8"),
        ({"texture_size": 9000}, "texture_size: must lie in [16, 8192], got 9000"),
        ({"verify_size": 4}, "verify_size: must lie in [8, 4096], got 4"),
        ({"scale": 0.0}, "scale: must lie in [1e-06, 1e+06], got 0.0"),
        ({"scale": float("inf")}, "scale: must lie in [1e-06, 1e+06], got inf"),
        ({"threshold": 0.0}, "threshold: must lie in [1e-06, 1e+12], got 0.0"),
        ({"min_component_share": 1.0}, "min_component_share: must lie in [0, 1), got 1.0"),
    ],
)
def test_a_wrong_config_says_which_field_and_why(changes: dict, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        MeshConfig(**changes)
    assert str(caught.value) == message
