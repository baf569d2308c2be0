"""Family `meshes`: files of every format with wrong numbers, wrong claims, and paths that lead outside."""

from __future__ import annotations

import base64
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
import yaml

from fuzz import poison
from fuzz.case import Case, Command, random_of
from fuzz.stock import Stock

FAMILY = "meshes"
SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")
URIS = (
    "../secret.glb", "../../secret.bin", "/etc/hostname", "/dev/zero", "file:///etc/hostname", "http://192.0.2.1/x.bin", "https://[::1]/x",
    "data:application/octet-stream;base64,AAAA", "data:,", "data:application/octet-stream;base64,!!!", "", "mesh.gltf", "~/x.bin", "\0",
    "buffer.bin", "\\\\192.0.2.1\\x", "{outside}/secret.glb", "a" * 5000,
)  # fmt: skip
BAD_NUMBERS = (float("nan"), float("inf"), -float("inf"), 0.0, 1e38, -1e38, 1e-45)


def make(stock: Stock, seed: int, number: int, sandbox: Path) -> Case:
    """Create case `number`: a mesh file, and a run of one step that textures it."""
    source = random_of(seed, FAMILY, number)
    recipe = stock.recipes["texture-mesh"]
    text = yaml.safe_dump({**recipe, "export": {}}, sort_keys=False, allow_unicode=True)
    (sandbox / "recipe.yaml").write_text(text, encoding="utf-8")
    suffix, content, what = mesh(source, sandbox)
    (sandbox / f"mesh{suffix}").write_bytes(content)
    (sandbox / "buffer.bin").write_bytes(source.randbytes(source.choice((0, 10, 5000))))
    words = ("--config", "recipe.yaml", f"system.geometry.asset.path=mesh{suffix}", *_options(source))
    return Case(FAMILY, number, what, (Command(("check", *words[1:])), Command(("run", *words), most_steps=1)))


def _options(source: random.Random) -> tuple[str, ...]:
    extent = source.choice((None, None, None, 0, 0.01, 1))
    return () if extent is None else (f"system.geometry.asset.extent={extent}",)


def mesh(source: random.Random, sandbox: Path) -> tuple[str, bytes, str]:
    """Return suffix, content and a description."""
    sort = source.choices(("numbers", "bytes", "text", "gltf", "other"), (25, 35, 15, 35, 4))[0]
    if sort == "other":
        return (
            source.choice((*SUFFIXES, ".fbx", ".3mf", ".xyz", ".dae", ".zip", "", ".obj.gz")),
            poison.garbage(source),
            "something else",
        )
    if sort == "text":
        suffix = source.choice(sorted(TEXTS))
        content = source.choice(TEXTS[suffix])
        return suffix, content, f"{suffix}: {content[:60]!r}"
    if sort == "gltf":
        return _gltf(source, str(sandbox.parent / "outside"))
    suffix = source.choice(SUFFIXES)
    loaded, what = _solid(source) if sort == "numbers" else (trimesh.creation.icosphere(1), "ball")
    try:
        content = _exported(loaded, suffix)
    except Exception as error:  # trimesh's writers reject some meshes that its readers accept
        return ".obj", _obj(loaded), f"{what}, as OBJ: {type(error).__name__}"
    if sort == "bytes":
        content, damage = poison.damage(content, source)
        what += f", {damage}"
    return suffix, content, f"{suffix} {what}"


def _exported(loaded: trimesh.Trimesh, suffix: str) -> bytes:
    found = loaded.export(file_type=suffix[1:])
    if isinstance(found, dict):  # glTF has several files
        tree = json.loads(found["model.gltf"])
        for buffer in tree.get("buffers", ()):
            data = base64.b64encode(found[buffer["uri"]]).decode()
            buffer["uri"] = f"data:application/octet-stream;base64,{data}"
        return json.dumps(tree).encode()
    return found.encode() if isinstance(found, str) else found


def _obj(loaded: trimesh.Trimesh) -> bytes:
    lines = [f"v {x} {y} {z}" for x, y, z in loaded.vertices] + [
        f"f {a + 1} {b + 1} {c + 1}" for a, b, c in loaded.faces
    ]
    return "\n".join(lines).encode()


def _solid(source: random.Random) -> tuple[trimesh.Trimesh, str]:
    """Return a mesh with wrong numbers."""
    kind = source.choice(
        (
            "vertex",
            "all",
            "point",
            "line",
            "flat",
            "huge",
            "tiny",
            "far",
            "index",
            "negative",
            "same",
            "many",
            "loose",
            "inward",
        )
    )
    made = trimesh.creation.icosphere(1) if source.random() < 0.7 else trimesh.creation.box()
    vertices, faces = np.array(made.vertices), np.array(made.faces, np.int64)
    number = source.choice(BAD_NUMBERS)
    if kind == "vertex":
        vertices[source.randrange(len(vertices)), source.randrange(3)] = number
        kind = f"vertex {number}"
    elif kind == "all":
        vertices[:] = number
        kind = f"all {number}"
    elif kind in ("point", "line", "flat"):
        vertices *= {"point": (0, 0, 0), "line": (1, 0, 0), "flat": (1, 1, 0)}[kind]
    elif kind in ("huge", "tiny"):
        vertices *= 1e30 if kind == "huge" else 1e-30
    elif kind == "far":
        vertices += source.choice((1e6, 1e18))
    elif kind in ("index", "negative"):
        faces[source.randrange(len(faces)), 0] = (
            source.choice((len(vertices), 10**6, 2**31 - 1)) if kind == "index" else -source.choice((1, 10**6))
        )
    elif kind == "same":
        faces[:] = 0
    elif kind == "many":
        made = trimesh.creation.icosphere(5)
        vertices, faces = made.vertices, made.faces
    elif kind == "loose":
        vertices = np.concatenate([vertices, source.choice((1.0, 1e6, float("nan"))) * np.ones((3, 3))])
    else:
        faces = faces[:, ::-1]
    return trimesh.Trimesh(vertices, faces, process=False, validate=False), kind


def _gltf(source: random.Random, outside: str) -> tuple[str, bytes, str]:
    """Return a triangle or a ball with a wrong glTF document."""
    tree, data = _ball()
    kind = source.choice(sorted(LIES))
    LIES[kind](tree, source, outside)
    binary = source.random() < 0.6
    buffers = tree.get("buffers")
    if kind != "uri" and not binary and isinstance(buffers, list) and buffers and isinstance(buffers[0], dict):
        buffers[0]["uri"] = f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
    text = json.dumps(tree).encode()
    if not binary:
        return ".gltf", text, f"glTF {kind}"
    text += b" " * (-len(text) % 4)
    body = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(data), 0x004E4942) + data
    return ".glb", struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body, f"GLB {kind}"


def _ball() -> tuple[dict[str, Any], bytes]:
    ball = trimesh.creation.icosphere(1)
    faces, vertices = np.asarray(ball.faces, "<u4").tobytes(), np.asarray(ball.vertices, "<f4").tobytes()
    tree = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 1}, "indices": 0, "mode": 4}]}],
        "buffers": [{"byteLength": len(faces + vertices)}],
        "bufferViews": [{"buffer": 0, "byteOffset": 0, "byteLength": len(faces)}, {"buffer": 0, "byteOffset": len(faces), "byteLength": len(vertices)}],
        "accessors": [
            {"bufferView": 0, "componentType": 5125, "count": ball.faces.size, "type": "SCALAR"},
            {"bufferView": 1, "componentType": 5126, "count": len(ball.vertices), "type": "VEC3", "min": [-1] * 3, "max": [1] * 3},
        ],
    }  # fmt: skip
    return tree, faces + vertices


def _uri(tree: dict[str, Any], source: random.Random, outside: str) -> None:
    uri = source.choice(URIS).replace("{outside}", outside)
    tree["buffers"][0]["uri"] = uri
    if source.random() < 0.4:
        tree["images"], tree["textures"] = [{"uri": uri}], [{"source": 0}]
        tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
        tree["meshes"][0]["primitives"][0]["material"] = 0


def _count(tree: dict[str, Any], source: random.Random, outside: str) -> None:
    number = source.choice((0, -1, 10**3, 10**9, 2**31, 2**63, 10**30, 1.5, "3", None, True, []))
    holder, key = source.choice(
        ((tree["accessors"][0], "count"), (tree["accessors"][1], "count"), (tree["buffers"][0], "byteLength"),
         (tree["bufferViews"][1], "byteLength"), (tree["bufferViews"][1], "byteOffset"), (tree["bufferViews"][0], "byteStride"),
         (tree["accessors"][0], "componentType"), (tree["accessors"][1], "byteOffset"), (tree["accessors"][0], "bufferView"))
    )  # fmt: skip
    holder[key] = number


def _nodes(tree: dict[str, Any], source: random.Random, outside: str) -> None:
    count = source.choice((10, 1000, 100_000))
    tree["nodes"] = source.choice((
        [{"mesh": 0, "children": [0]}], [{"children": [1]}, {"mesh": 0, "children": [0]}], [{"mesh": 99}], [{"children": [99]}], [],
        [{"mesh": 0, "matrix": [float(i) for i in range(15)]}], [{"mesh": 0, "scale": [0, 0, 0]}], [{"mesh": 0, "rotation": [0, 0, 0, 0]}],
        [{"mesh": 0, "scale": [1e38, 1, 1]}], [{"mesh": -1}], [{"mesh": "0"}], [None], [{"mesh": 0, "translation": [1e30, 0, 0]}],
        [{"mesh": 0, "matrix": [0] * 16}],
        [{"children": list(range(1, count))}, *({"mesh": 0, "translation": [i, 0, 0]} for i in range(1, count))],
        [{"children": [i + 1]} for i in range(min(count, 3000))] + [{"mesh": 0}],
        [{"children": [i + 1, i + 1]} for i in range(24)] + [{"mesh": 0}],
    ))  # fmt: skip


def _parts(tree: dict[str, Any], source: random.Random, outside: str) -> None:
    part = tree["meshes"][0]["primitives"][0]
    what = source.choice(
        ("mode", "draco", "none", "attributes", "index", "missing", "root", "sparse", "morph", "value")
    )
    if what == "mode":
        part["mode"] = source.choice((0, 1, 2, 3, 5, 6, 7, -1, "4", None))
    elif what == "draco":
        part["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}
        tree["extensionsRequired"] = tree["extensionsUsed"] = ["KHR_draco_mesh_compression"]
    elif what == "none":
        tree["meshes"][0]["primitives"] = []
    elif what == "attributes":
        part["attributes"] = source.choice(
            ({}, {"POSITION": 99}, {"POSITION": 0}, {"NORMAL": 1}, None, {"POSITION": 1, "TEXCOORD_0": 0})
        )
    elif what == "index":
        part["indices"] = source.choice((1, 99, -1, None, "0"))
    elif what == "missing":
        del tree[source.choice(sorted(tree))]
    elif what == "sparse":
        tree["accessors"][1]["sparse"] = {"count": 10**9, "indices": {"bufferView": 9}, "values": {"bufferView": 9}}
    elif what == "morph":
        part["targets"] = [{"POSITION": 1}] * 1000
    else:
        tree[source.choice(sorted(tree))] = source.choice(([], {}, None, 0, "x", [None], [[]], [0], {"a": 1}))


LIES: dict[str, Callable[[dict[str, Any], random.Random, str], None]] = {
    "uri": _uri, "count": _count, "nodes": _nodes, "parts": _parts,
}  # fmt: skip
TEXTS: dict[str, tuple[bytes, ...]] = {
    ".obj": (
        b"", b"v 0 0 0\n", b"f 1 2 3\n", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf -1 -2 -9\n",
        b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3 1 2 3 1\n", b"v 0 0\nv 1\nf 1 2 3\n", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", b"v a b c\nf 1 2 3\n",
        b"mtllib ../secret.yaml\nusemtl x\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", b"mtllib /etc/hostname\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        b"mtllib http://192.0.2.1/x.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1/9/9 2/9/9 3/9/9\n",
        b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nf 1 2 4 3\nl 1 2\np 1\n", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", b"v 1e999 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 99999999999999999999 1 2\n", b"o a\n" * 50_000, b"v 0 0 0 " + b"1 " * 100_000 + b"\nf 1 1 1\n",
    ),
    ".ply": (
        b"ply\n", b"ply\nformat ascii 1.0\nelement vertex 4000000000\nproperty float x\nproperty float y\nproperty float z\nend_header\n",
        b"ply\nformat binary_little_endian 1.0\nelement vertex 999999999\nproperty double x\nproperty double y\nproperty double z\nend_header\n\0\0",
        b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\nend_header\n0 0 0\n1 0 0\n0 1 0\n",
        b"ply\nformat ascii 1.0\nelement vertex -3\nproperty float x\nend_header\n", b"ply\nformat x 1.0\nend_header\n",
        b"ply\nformat ascii 1.0\ncomment TextureFile ../secret.png\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
        b"element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n",
        b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\nelement face 1\n"
        b"property list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 nan 0\n3 0 1 2\n",
    ),
    ".stl": (
        b"solid x\nendsolid\n", b"solid", b"\0" * 80 + b"\xff\xff\xff\xff", b"\0" * 80 + b"\1\0\0\0" + b"\xff" * 50, b"\0" * 84,
        b"solid\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex nan 1 0\nendloop\nendfacet\nendsolid\n",
        b"solid\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\n",
    ),
    ".off": (
        b"OFF\n", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n", b"OFF\n4000000000 1 0\n", b"OFF\n-1 -1 0\n", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n4 0 1 2 0\n",
        b"OFF\n3 1 0\nnan 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", b"OFF\n0 0 0\n", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 -1 -2 -3\n", b"COFF\n1 1 1\n",
    ),
}  # fmt: skip
"""Hand-written files, by suffix."""
