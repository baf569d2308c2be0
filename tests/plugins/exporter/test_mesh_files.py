"""Tests of the binary contents of the files, and of the check that reads them back."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh

from bozzetto.errors import ExportError
from bozzetto.types import TriangleMesh
from bozzetto_plugins.exporter.gltf import write_glb
from bozzetto_plugins.exporter.mesh import WRITERS
from bozzetto_plugins.exporter.obj import write_obj
from bozzetto_plugins.exporter.ply import texture_at, write_ply
from bozzetto_plugins.exporter.read_back import check_file
from bozzetto_plugins.exporter.stl import write_stl
from bozzetto_plugins.exporter.surface import is_watertight, signed_volume, vertex_normals, weld

QUADRANTS = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]])
"""Red and green above blue and white."""


def triangle() -> TriangleMesh:
    """Return one textured face in the plane x = 0 that faces world +x."""
    return TriangleMesh(
        vertices=torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]),
        faces=torch.tensor([[0, 1, 2]]),
        uvs=torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75]]),
        texture=QUADRANTS,
    )


def read_glb(path: Path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON" and size % 4 == 0
    return json.loads(content[20 : 20 + size]), content[28 + size :]


def test_glb_is_y_up_with_one_plain_material(tmp_path: Path) -> None:
    document, binary = read_glb(write_glb(triangle(), tmp_path / "t.glb"))
    (primitive,) = document["meshes"][0]["primitives"]
    position = document["accessors"][primitive["attributes"]["POSITION"]]
    assert position["min"] == [0.0, 0.0, 0.0] and position["max"] == [1.0, 2.0, 0.0]
    start = document["bufferViews"][position["bufferView"]]["byteOffset"]
    assert struct.unpack_from("<9f", binary, start) == (0, 0, 0, 1, 0, 0, 0, 2, 0)
    normal = document["accessors"][primitive["attributes"]["NORMAL"]]
    start = document["bufferViews"][normal["bufferView"]]["byteOffset"]
    assert struct.unpack_from("<3f", binary, start) == (0, 0, 1), "world +x is glTF's front, +z"
    uv = document["accessors"][primitive["attributes"]["TEXCOORD_0"]]
    start = document["bufferViews"][uv["bufferView"]]["byteOffset"]
    assert struct.unpack_from("<6f", binary, start) == (0.25, 0.75, 0.75, 0.75, 0.25, 0.25), "v points down"
    (material,) = document["materials"]
    assert material["doubleSided"] is False
    assert material["pbrMetallicRoughness"] == {
        "metallicFactor": 0.0,
        "roughnessFactor": 1.0,
        "baseColorTexture": {"index": 0},
    }
    image = document["bufferViews"][document["images"][0]["bufferView"]]
    assert binary[image["byteOffset"] :].startswith(b"\x89PNG") and document["images"][0]["mimeType"] == "image/png"
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])


@pytest.mark.parametrize("suffix", ["glb", "obj"])
def test_the_texture_stands_upright_for_another_library(tmp_path: Path, suffix: str) -> None:
    write = {"glb": write_glb, "obj": write_obj}[suffix]
    write(triangle(), tmp_path / f"t.{suffix}")
    loaded = trimesh.load(tmp_path / f"t.{suffix}", force="mesh", process=False)
    colors = loaded.visual.to_color().vertex_colors[:, :3]
    assert colors.tolist() == [[0, 0, 255], [255, 255, 255], [255, 0, 0]], "blue below, white right, red above"


def test_the_ply_has_colours(tmp_path: Path) -> None:
    loaded = trimesh.load(write_ply(triangle(), tmp_path / "t.ply"), process=False)
    assert loaded.visual.vertex_colors[:, :3].tolist() == [[0, 0, 255], [255, 255, 255], [255, 0, 0]]
    assert loaded.vertices.tolist() == [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 2.0]], "z up, front -y"


def test_the_stl_has_shape_and_facet_normals(tmp_path: Path) -> None:
    content = write_stl(triangle(), tmp_path / "t.stl").read_bytes()
    assert content.startswith(b"bozzetto ") and len(content) == 80 + 4 + 50
    (count, *numbers) = struct.unpack_from("<I12f", content, 80)
    assert count == 1 and numbers[:3] == [0.0, -1.0, 0.0], "world +x is the front, -y"
    assert numbers[3:] == [0, 0, 0, 1, 0, 0, 0, 0, 2]


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply", "stl"])
def test_a_mesh_without_a_texture_can_be_written(tmp_path: Path, suffix: str) -> None:
    bare = TriangleMesh(triangle().vertices, triangle().faces)
    path = tmp_path / f"t.{suffix}"
    WRITERS[suffix](bare, path)
    check_file(path, bare)
    assert not (tmp_path / "texture.png").exists()


def test_indices_widen_when_there_are_many_vertices(tmp_path: Path) -> None:
    count = 65536
    vertices = torch.rand(count, 3, generator=torch.Generator().manual_seed(0))
    many = TriangleMesh(vertices, torch.tensor([[0, 1, count - 1]]))
    document, _ = read_glb(write_glb(many, tmp_path / "t.glb"))
    assert document["accessors"][document["meshes"][0]["primitives"][0]["indices"]]["componentType"] == 5125
    few, _ = read_glb(write_glb(triangle(), tmp_path / "t.glb"))
    assert few["accessors"][few["meshes"][0]["primitives"][0]["indices"]]["componentType"] == 5123


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"faces": torch.tensor([[0, 1, 2], [2, 1, 0]])}, "number of faces is 1, expected 2"),
        ({"vertices": 1.1 * triangle().vertices}, "'the bounds are those written' is False, expected True"),
        ({"texture": torch.zeros(4, 4, 3)}, "size of the texture is (2, 2), expected (4, 4)"),
    ],
)
def test_a_file_that_reads_back_wrong_is_an_error(tmp_path: Path, change: dict, what: str) -> None:
    for path in (write_glb(triangle(), tmp_path / "t.glb"), write_obj(triangle(), tmp_path / "t.obj")[0]):
        check_file(path, triangle())
        with pytest.raises(ExportError) as caught:
            check_file(path, replace(triangle(), **change))
        assert str(caught.value) == (
            f"{path.name} was written but reads back wrong: {what}. "
            "Try another of export.mesh.formats, and report this with the file."
        )


def test_a_seam_changes_neither_normals_nor_closedness() -> None:
    box = trimesh.creation.icosphere(1, 0.5)
    closed = TriangleMesh(torch.tensor(box.vertices, dtype=torch.float32), torch.tensor(box.faces))
    split = TriangleMesh(closed.vertices[closed.faces].reshape(-1, 3), torch.arange(3 * len(box.faces)).reshape(-1, 3))
    assert is_watertight(closed) and is_watertight(split)
    assert len(weld(split)[0]) == len(closed.vertices)
    torch.testing.assert_close(vertex_normals(split), vertex_normals(closed)[closed.faces].reshape(-1, 3))
    assert not is_watertight(TriangleMesh(closed.vertices, closed.faces[1:]))
    assert signed_volume(split) == pytest.approx(signed_volume(closed)) and signed_volume(split) > 0.0


def test_texture_lookup_is_exact_at_texel_centres() -> None:
    centres = torch.tensor([[0.25, 0.75], [0.75, 0.75], [0.25, 0.25], [0.75, 0.25]])
    torch.testing.assert_close(texture_at(QUADRANTS, centres), QUADRANTS.reshape(4, 3))
    torch.testing.assert_close(texture_at(QUADRANTS, torch.tensor([[0.5, 0.5]])), QUADRANTS.mean((0, 1))[None])
