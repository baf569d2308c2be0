"""Tests of the files in other programs: a letter F reads as F from the front, upright, in the same pose everywhere."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import trimesh
from PIL import Image

from bozzetto.testing.exporter import sphere_scene
from bozzetto.testing.letter_box import CELL, CENTER, HALF, LETTER, LetterBox, cell_centers
from bozzetto_plugins.exporter.config import MeshConfig
from bozzetto_plugins.exporter.mesh import Mesh

FORMATS = ("glb", "obj", "ply", "stl")
VALIDATOR = Path(__file__).parents[3] / "tools" / "gltf_validator"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the letter box in every format; return its folder."""
    folder = tmp_path_factory.mktemp("letter")
    config = MeshConfig(
        formats=FORMATS, resolution=40, texture_size=256, max_faces=600, smoothing_iterations=0, bake_samples=1,
        verify_views=2, verify_size=48,
    )  # fmt: skip
    Mesh(config).export(replace(sphere_scene(), geometry=LetterBox()), folder, lambda line: None)
    return folder


@dataclass(frozen=True)
class Textured:
    """Mesh as an importer read it, in the file's own axes: y up, front +z."""

    vertices: np.ndarray
    faces: np.ndarray
    texel: np.ndarray
    """(column, row) of each vertex in `picture`, in pixels."""
    picture: np.ndarray


def with_pygltflib(path: Path) -> Textured:
    document = pygltflib.GLTF2().load(str(path))
    blob = document.binary_blob()

    def content(view_number: int) -> bytes:
        view = document.bufferViews[view_number]
        return blob[view.byteOffset : view.byteOffset + view.byteLength]

    def array(number: int, kind: str, columns: int) -> np.ndarray:
        accessor = document.accessors[number]
        return np.frombuffer(content(accessor.bufferView), kind).reshape(-1, columns)[: accessor.count]

    (primitive,) = document.meshes[0].primitives
    material = document.materials[primitive.material].pbrMetallicRoughness
    source = document.textures[material.baseColorTexture.index].source
    picture = np.asarray(Image.open(io.BytesIO(content(document.images[source].bufferView))))
    faces = np.frombuffer(content(document.accessors[primitive.indices].bufferView), "<u2").reshape(-1, 3)
    uv = array(primitive.attributes.TEXCOORD_0, "<f4", 2)  # glTF: (0, 0) is the upper left corner
    return Textured(array(primitive.attributes.POSITION, "<f4", 3), faces, uv * picture.shape[1::-1], picture)


def with_trimesh(path: Path) -> Textured:
    loaded = trimesh.load(path, force="mesh", process=False)
    material = loaded.visual.material
    picture = np.asarray(getattr(material, "baseColorTexture", None) or material.image)
    uv = loaded.visual.uv * [1.0, -1.0] + [0.0, 1.0]  # trimesh: (0, 0) is the lower left corner
    return Textured(np.asarray(loaded.vertices), np.asarray(loaded.faces), uv * picture.shape[1::-1], picture)


def seen_from_front(mesh: Textured, right: float, up: float) -> np.ndarray:
    """Return the colour, in [0, 1], of the nearest triangle at (x, y) = (right, up) for a viewer on +z."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner], :2] for corner in range(3))
    (bx, by), (cx, cy), (px, py) = (b - a).T, (c - a).T, (np.array([right, up]) - a).T
    with np.errstate(divide="ignore", invalid="ignore"):
        v, w = (px * cy - py * cx) / (bx * cy - by * cx), (bx * py - by * px) / (bx * cy - by * cx)
        weight = np.stack([1.0 - v - w, v, w], axis=1)  # NaN for edge-on triangles: no hit
    hit = np.flatnonzero((weight >= 0.0).all(1))
    depth = (mesh.vertices[mesh.faces[hit], 2] * weight[hit]).sum(1)
    nearest = hit[depth.argmax()]
    column, row = (mesh.texel[mesh.faces[nearest]] * weight[nearest, :, None]).sum(0).astype(int)
    return mesh.picture[row, column, :3] / 255.0


def as_letter(brightness: list[float]) -> tuple[str, ...]:
    """Return the squares of the letter as text, dark ones as #."""
    marks = "".join("#" if value < 0.5 else "." for value in brightness)
    width = len(LETTER[0])
    return tuple(marks[start : start + width] for start in range(0, len(marks), width))


@pytest.mark.parametrize(
    ("read", "name"), [(with_pygltflib, "mesh.glb"), (with_trimesh, "mesh.glb"), (with_trimesh, "mesh.obj")]
)
def test_the_letter_reads_as_written_from_the_front(folder: Path, read: object, name: str) -> None:
    mesh = read(folder / name)
    middle_right, middle_up = CENTER[1], CENTER[2]
    colors = [seen_from_front(mesh, middle_right + right, middle_up + up) for right, up in cell_centers()]
    assert as_letter([float(color.mean()) for color in colors]) == LETTER


def test_the_validator_finds_no_error_and_no_warning(folder: Path) -> None:
    node = shutil.which("node")
    if node is None or not (VALIDATOR / "node_modules" / "gltf-validator").is_dir():
        pytest.skip("the Khronos validator is not installed: npm ci --prefix tools/gltf_validator")
    done = subprocess.run([node, VALIDATOR / "validate.js", folder / "mesh.glb"], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    (report,) = json.loads(done.stdout)
    assert report["messages"] == [] and done.returncode == 0


IN_BLENDER = """
import json, sys
import bpy
from mathutils import Vector

def load(operator, path):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    operator(filepath=path)
    (thing,) = [item for item in bpy.data.objects if item.type == "MESH"]
    bpy.context.view_layer.update()
    corners = [thing.matrix_world @ Vector(corner) for corner in thing.bound_box]
    return [[bound(corner[axis] for corner in corners) for axis in range(3)] for bound in (min, max)]

def look(folder, middle, width, height):
    scene, world = bpy.context.scene, bpy.data.worlds.new("white")
    scene.world, world.use_nodes = world, True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    camera.data.type, camera.data.ortho_scale = "ORTHO", max(width, height)
    camera.location, camera.rotation_euler = (middle[0], middle[1] - 5.0, middle[2]), (1.5707963267948966, 0.0, 0.0)
    scene.camera, scene.view_settings.view_transform = camera, "Standard"
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 4, "CPU"
    scene.render.resolution_x, scene.render.resolution_y = round(50 * width), round(50 * height)
    scene.render.filepath = folder + "/blender.png"
    bpy.ops.render.render(write_still=True)

folder, middle, width, height = sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
bounds = {
    "obj": load(bpy.ops.wm.obj_import, folder + "/mesh.obj"),
    "ply": load(bpy.ops.wm.ply_import, folder + "/mesh.ply"),
    "stl": load(bpy.ops.wm.stl_import, folder + "/mesh.stl"),
    "glb": load(bpy.ops.import_scene.gltf, folder + "/mesh.glb"),
}
look(folder, middle, width, height)
print("BOUNDS" + json.dumps(bounds))
"""


@pytest.mark.bpy
@pytest.mark.skipif(
    importlib.util.find_spec("bpy") is None, reason="Blender's module is not installed: pip install bpy"
)
def test_blender_opens_every_format_upright_with_its_front_to_the_viewer(folder: Path) -> None:
    # World front +x, right +y, up +z is Blender's front -y, right +x, up +z.
    middle, half = (CENTER[1], -CENTER[0], CENTER[2]), np.array([HALF[1], HALF[0], HALF[2]])
    size = [str(CELL * len(LETTER[0])), str(CELL * len(LETTER))]
    command = [sys.executable, "-c", IN_BLENDER, str(folder), json.dumps(middle), *size]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("BOUNDS")]
    for name, (low, high) in json.loads(line.removeprefix("BOUNDS")).items():
        assert np.abs(np.array(low) - (middle - half)).max() < 0.03, name
        assert np.abs(np.array(high) - (middle + half)).max() < 0.03, name
    picture = np.asarray(Image.open(folder / "blender.png").convert("L")).reshape(len(LETTER), 10, len(LETTER[0]), 10)
    assert as_letter((picture[:, 3:7, :, 3:7].mean((1, 3)) / 255.0).reshape(-1).tolist()) == LETTER
