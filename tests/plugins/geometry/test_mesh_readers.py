"""Tests of mesh files: every format against another library, and every unusable file, refused with a reason."""

from __future__ import annotations

import base64
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from bozzetto.errors import ConfigError
from bozzetto_plugins.geometry.mesh_file import read_asset
from bozzetto_plugins.geometry.mesh_readers import triangles as limits
from bozzetto_plugins.geometry.mesh_readers.file import read_triangles
from bozzetto_plugins.geometry.surface_config import AssetConfig

BOX = trimesh.creation.box()
DATA = np.array(BOX.vertices, "<f4").tobytes() + np.array(BOX.faces, "<u2").tobytes()
FACE = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"


def glb(binary: bytes = DATA, **changes: object) -> bytes:
    """Return a box as GLB, with some entries of its JSON chunk replaced."""
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [accessor(0, 5126, 8, "VEC3"), accessor(1, 5123, 36, "SCALAR")],
        "bufferViews": [{"buffer": 0, "byteLength": 96}, {"buffer": 0, "byteOffset": 96, "byteLength": 72}],
        "buffers": [{"byteLength": 168}],
        **changes,
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(binary)) + struct.pack("<II", len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(binary), 0x4E4942) + binary


def accessor(view: int, component: int, count: object, kind: str) -> dict[str, object]:
    return {"bufferView": view, "componentType": component, "count": count, "type": kind}


def gltf(uri: str) -> bytes:
    """Return the same box as JSON, with its buffer at `uri`."""
    whole = glb(buffers=[{"byteLength": 168, "uri": uri}])
    return whole[20 : 20 + struct.unpack_from("<I", whole, 12)[0]]


def ply(form: str, rest: str, data: bytes = b"") -> bytes:
    return f"ply\nformat {form} 1.0\n{rest}".encode() + data


UNUSABLE = {
    "nan.obj": (b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "1 of its 3 vertices are not finite"),
    "inf.obj": (b"v inf 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "1 of its 3 vertices are not finite"),
    "huge.obj": (b"v 1e308 0 0\nv -1e308 0 0\nv 0 1 0\nf 1 2 3\n", "too large for numbers of 64 bits"),
    "point.obj": (b"v 0 0 0\nf 1 1 1\n", "it has no size"),
    "line.obj": (b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "none of its triangles has an area"),
    "range.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 30\n", "name vertices from 0 to 29, and there are 3"),
    "negative.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf -9 -2 -1\n", "name vertices from -6"),
    "zero.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "name vertices from -1"),
    "points.obj": (b"v 0 0 0\nv 1 0 0\nl 1 2\n", "it has no triangles"),
    "word.obj": (b"v 0 0 0\nv a b c\n", "line 2 cannot be understood: 'v a b c"),
    "empty.obj": (b"", "it is empty, 0 bytes"),
    "x.fbx": (b"Kaydara FBX", ".fbx is not read. Export it as .glb"),
    "fbx.obj": (b"Kaydara FBX Binary", "is named .obj, and holds a FBX file"),
    "ply.obj": (ply("ascii", ""), "holds a .ply file. Name it ply.ply"),
    "garbage.glb": (b"not a glb", "neither those of GLB nor of glTF"),
    "points.ply": (ply("ascii", f"element vertex 1\n{XYZ}end_header\n0 0 0\n"), "a cloud of points"),
    "claim.ply": (ply("binary_little_endian", f"element vertex 1000000000000\n{XYZ}{FACE}"), "the file is too short"),
    "claims.ply": (ply("ascii", f"element vertex 1000000000000\n{XYZ}{FACE}"), "the file is too short"),
    "list.ply": (
        ply("binary_little_endian", f"element vertex 1\n{XYZ}{FACE.replace('uchar', 'uint')}", bytes(12) + b"\xff" * 4),
        "it ends before all its vertices and faces",
    ),
    "head.ply": (b"ply\nformat ascii 1.0\n", "its header has no end"),
    "claim.stl": (bytes(80) + struct.pack("<I", 4_000_000_000) + bytes(50), "claims 4,000,000,000 triangles"),
    "claim.off": (b"OFF\n1000000000000 1 0\n", "claims 1,000,000,000,000 vertices"),
    "cut.off": (b"OFF\n3 1 0\n0 0 0\n1 0 0\n", "it ends before all"),
    "cut.glb": (glb()[:200], "it is cut off"),
    "draco.glb": (glb(extensionsRequired=["KHR_draco_mesh_compression"]), "compressed with Draco"),
    "meshopt.glb": (glb(extensionsRequired=["EXT_meshopt_compression"]), "compressed with meshopt"),
    "other.glb": (glb(extensionsRequired=["FOO_bar"]), "needs the extension 'FOO_bar'"),
    "claim.glb": (glb(accessors=[accessor(0, 5126, 10**12, "VEC3")]), "claims 1,000,000,000,000 entries"),
    "long.glb": (glb(accessors=[accessor(0, 5126, 9, "VEC3")]), "its buffer is too short"),
    "text.glb": (glb(accessors=[accessor(0, 5126, "x", "VEC3")]), "must be a whole number from 0 on, got 'x'"),
    "minus.glb": (glb(nodes=[{"mesh": -1}]), "must be a whole number from 0 on, got -1"),
    "cycle.glb": (glb(nodes=[{"children": [1]}, {"children": [0]}]), "has two parents, or is its own ancestor"),
    "matrix.glb": (glb(nodes=[{"mesh": 0, "matrix": [1, 2]}]), "it is damaged"),
    "nanmatrix.glb": (glb(nodes=[{"mesh": 0, "matrix": [float("nan")] * 16}]), "not finite"),
    "list.glb": (glb(nodes=7), "its 'nodes' is not a list"),
    "nested.gltf": (b'{"a":' * 100_000, "its JSON cannot be read"),
    "web.gltf": (gltf("http://localhost:1/a.bin"), "nothing outside of its folder is opened"),
    "up.gltf": (gltf("../a.bin"), "nothing outside of its folder is opened"),
    "coded.gltf": (gltf("%2e%2e/a.bin"), "nothing outside of its folder is opened"),
    "root.gltf": (gltf("/etc/hostname"), "nothing outside of its folder is opened"),
    "gone.gltf": (gltf("gone.bin"), "is not beside it"),
    "link.gltf": (gltf("link.bin"), "leads out of its folder"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "link.bin").symlink_to("/etc/hostname")
    content, message = UNUSABLE[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_asset(AssetConfig(path=str(tmp_path / name)), 1.0)
    assert message in str(caught.value) and name in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.obj")
    (tmp_path / "folder.glb").mkdir()
    (tmp_path / "other.ply").touch()
    for name, message in (
        ("pipe.obj", "is not a regular file"),
        ("folder.glb", "is a folder"),
        ("none.glb", r"There is no mesh file .*none\.glb\. Beside it: .*other\.ply"),
        ("x" * 300 + ".glb", "cannot be read: File name too long"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_triangles(tmp_path / name)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("suffix", ["glb", "ply", "stl", "off"])
def test_files_that_are_cut_off(tmp_path: Path, suffix: str, cut: float) -> None:
    path = tmp_path / f"ball.{suffix}"
    trimesh.creation.icosphere(1).export(path)
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    with pytest.raises(ConfigError, match="cannot be read as a mesh"):
        read_triangles(path)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("suffix", ["glb", "obj", "ply", "stl", "off"])
def test_damaged_bytes_give_a_mesh_or_one_line(tmp_path: Path, suffix: str, seed: int) -> None:
    path, random = tmp_path / f"ball.{suffix}", np.random.default_rng(seed)
    trimesh.creation.icosphere(0).export(path)
    data = bytearray(path.read_bytes())
    for place in random.integers(0, len(data) if seed % 2 else min(len(data), 300), 1 + seed % 7):
        data[place] = random.integers(0, 256)
    path.write_bytes(bytes(data))
    try:
        found = read_triangles(path)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert found.faces.shape[1] == found.vertices.shape[1] == 3


def same(path: Path) -> None:
    """Compare the result with that of another library."""
    found, expected = read_triangles(path), trimesh.load(path, force="mesh", process=False)
    np.testing.assert_allclose(found.vertices[found.faces], expected.triangles, atol=1e-6)


@pytest.mark.parametrize("name", ["a.glb", "a.obj", "a.ply", "a.off", "a.stl"])
def test_every_format_is_read_as_another_library_does(tmp_path: Path, name: str) -> None:
    trimesh.creation.icosphere(2).export(tmp_path / name)
    same(tmp_path / name)


def test_text_forms_and_several_files(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(1)
    ball.export(tmp_path / "a.ply", encoding="ascii")
    ball.export(tmp_path / "a.stl", file_type="stl_ascii")
    for name, content in ball.export(file_type="gltf").items():
        (tmp_path / name).write_bytes(content)
    for name in ("a.ply", "a.stl", "model.gltf"):
        same(tmp_path / name)
    coded = gltf("data:application/octet-stream;base64," + base64.b64encode(DATA).decode())
    (tmp_path / "data.gltf").write_bytes(coded)
    same(tmp_path / "data.gltf")


def test_polygons_negative_numbers_and_what_an_obj_names(tmp_path: Path) -> None:
    text = "mtllib ../../secret.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0 # corner\nv 0 0 1\nf 1/1/1 2//2 \\\n 3 4\nf -5 -4 -1\n"
    (tmp_path / "a.obj").write_text(text)
    assert read_triangles(tmp_path / "a.obj").faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 4]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_binary_ply_with_mixed_polygons(tmp_path: Path, order: str) -> None:
    form = "binary_little_endian" if order == "<" else "binary_big_endian"
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], f"{order}f4").tobytes()
    faces = b"".join(struct.pack(f"{order}B{len(f)}i", len(f), *f) for f in ([0, 1, 2, 3], [0, 1, 4]))
    header = f"element vertex 5\n{XYZ}element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "a.ply").write_bytes(ply(form, header, points + faces))
    assert read_triangles(tmp_path / "a.ply").faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 4]]


def test_nodes_are_placed_and_mirrors_keep_the_outside(tmp_path: Path) -> None:
    nodes = [
        {"children": [1], "translation": [10, 0, 0], "rotation": [0, 0, np.sin(np.pi / 4), np.cos(np.pi / 4)]},
        {"mesh": 0, "scale": [-2, 1, 1]},
    ]
    (tmp_path / "a.glb").write_bytes(glb(nodes=nodes))
    same(tmp_path / "a.glb")
    found = read_triangles(tmp_path / "a.glb")
    assert trimesh.Trimesh(found.vertices, found.faces).volume == pytest.approx(2.0)
    assert np.ptp(found.vertices, axis=0).tolist() == pytest.approx([1.0, 2.0, 1.0])


def test_strips_and_fans(tmp_path: Path) -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], "<f4").tobytes()
    views, positions = [{"buffer": 0, "byteLength": 48}], [accessor(0, 5126, 4, "VEC3")]
    for mode, expected in ((5, [[0, 1, 2], [1, 3, 2]]), (6, [[0, 1, 2], [0, 2, 3]])):
        meshes = [{"primitives": [{"attributes": {"POSITION": 0}, "mode": mode}]}]
        (tmp_path / "a.glb").write_bytes(glb(corners, meshes=meshes, accessors=positions, bufferViews=views))
        assert read_triangles(tmp_path / "a.glb").faces.tolist() == expected


def test_many_instances_are_read_at_once(tmp_path: Path) -> None:
    nodes = [{"mesh": 0, "translation": [2.0 * (i % 100), 2.0 * (i // 100), 0.0]} for i in range(5000)]
    (tmp_path / "a.glb").write_bytes(glb(scenes=[{"nodes": list(range(5000))}], nodes=nodes))
    asset = read_asset(AssetConfig(path=str(tmp_path / "a.glb")), 1.0)
    assert asset.mesh.faces.shape == (60_000, 3) and asset.closed and asset.notices == ()


def test_too_many_triangles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_FACES", 50)
    trimesh.creation.icosphere(1).export(tmp_path / "a.obj")
    with pytest.raises(ConfigError, match="at most 50 are read. Simplify it first"):
        read_triangles(tmp_path / "a.obj")
    (tmp_path / "a.glb").write_bytes(glb(scenes=[{"nodes": list(range(10))}], nodes=[{"mesh": 0}] * 10))
    with pytest.raises(ConfigError, match="at most 50 are read. Simplify it first"):
        read_triangles(tmp_path / "a.glb")


def test_unused_vertices_and_flat_triangles_do_not_count(tmp_path: Path) -> None:
    lines = ["v 0 0 0", "v 1 0 0", "v 0 1 0", "v 0 0 1", "v 900 nan 0"]
    faces = ["f 1 3 2", "f 1 2 4", "f 2 3 4", "f 1 4 3", "f 1 2 2"]
    (tmp_path / "a.obj").write_text("\n".join(lines + faces))
    asset = read_asset(AssetConfig(path=str(tmp_path / "a.obj"), extent=0.5), 1.0)
    assert asset.mesh.faces.shape == (4, 3) and asset.closed
    torch.testing.assert_close(asset.mesh.vertices.abs().amax(0), torch.full((3,), 0.5))
    assert asset.notices == (f"{tmp_path / 'a.obj'}: 1 of its 5 triangles have no area and are left out",)
