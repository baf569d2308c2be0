"""The exported mesh beside the field: as it is, as a wireframe; its texture and UV layout. Imports viser."""

from __future__ import annotations

from typing import Any

import numpy as np
import trimesh
import viser

from bozzetto_view.layout import uv_layout
from bozzetto_view.source import Source

CHOICES = ("none", "mesh", "wireframe")
BESIDE = 1.15
"""Distance of the mesh from the scene, in widths of the mesh."""
FARTHER = 1.7
"""How much farther than at the start a camera has to be to see what stands around the scene, too."""
Y_UP_TO_Z_UP = (0.5, 0.5, 0.5, 0.5)
"""Quaternion that turns an exported mesh, y up and its front toward +z, into the world: z up, front toward +x."""


class Exports:
    """Tab of the exported mesh, which appears once there is one."""

    def __init__(self, server: viser.ViserServer, source: Source) -> None:
        self.server, self.source = server, source
        self._told = server.gui.add_markdown("Nothing has been exported yet.")
        self._choice = server.gui.add_dropdown("mesh beside the scene", CHOICES, initial_value="none", disabled=True)
        self._version: tuple[int, int] | None = None
        self._mesh: trimesh.Trimesh | None = None
        self._data = b""
        self._drawn: object = None
        self._node: Any = None
        self._shown_below = server.gui.add_folder("Texture", visible=False)
        self._pictures: dict[str, Any] = {}

    @property
    def visible(self) -> bool:
        """Whether a mesh stands beside the scene."""
        return self._node is not None

    def refresh(self) -> None:
        """Read the mesh again if it has been exported anew, and draw what is chosen."""
        path = self.source.folder.export / "mesh.glb"
        try:
            found = path.stat()
            version = (found.st_mtime_ns, found.st_size)
            if version != self._version:
                self._read(path.read_bytes())
                self._version = version
        except (OSError, ValueError):  # none yet, or it is being written
            return
        wanted = (self._choice.value, self._version)
        if wanted != self._drawn:
            self._drawn = wanted
            self._draw(self._choice.value)

    def _read(self, data: bytes) -> None:
        loaded = trimesh.load(trimesh.util.wrap_as_stream(data), file_type="glb", force="mesh", process=False)
        if not isinstance(loaded, trimesh.Trimesh):
            raise ValueError("mesh.glb holds no mesh")
        self._mesh, self._data = loaded, data
        self._told.content = f"mesh.glb: {len(loaded.vertices)} vertices, {len(loaded.faces)} faces"
        self._choice.disabled = False
        self._show_texture(loaded)

    def _show_texture(self, mesh: trimesh.Trimesh) -> None:
        """Show the texture and the UV layout of a mesh, or neither if it has none."""
        material, uv = getattr(mesh.visual, "material", None), getattr(mesh.visual, "uv", None)
        texture = getattr(material, "baseColorTexture", None)
        pixels = None if texture is None else np.asarray(texture.convert("RGB"))
        pictures = {"texture": pixels}
        if uv is not None and len(uv) == len(mesh.vertices):
            pictures["UV layout"] = uv_layout(np.asarray(uv, dtype=np.float64), np.asarray(mesh.faces), pixels)
        for name, picture in pictures.items():
            if picture is None:
                continue
            if name in self._pictures:
                self._pictures[name].image = picture
            else:
                with self._shown_below:  # a picture that is added later stands in the tab, too
                    self._pictures[name] = self.server.gui.add_image(picture, label=name, format="jpeg")
        for name, handle in self._pictures.items():
            handle.visible = pictures.get(name) is not None
        self._shown_below.visible = any(picture is not None for picture in pictures.values())

    def _draw(self, choice: str) -> None:
        shown_before = self.visible
        if self._node is not None:
            self._node.remove()
            self._node = None
        if choice == "none" or self._mesh is None:
            return
        width = float(np.ptp(self._mesh.vertices[:, 0])) if len(self._mesh.vertices) else 1.0
        place = {"wxyz": Y_UP_TO_Z_UP, "position": (0.0, -BESIDE * width, 0.0)}  # to the left: the controls are right
        scene: Any = self.server.scene
        if choice == "mesh":
            self._node = scene.add_glb("/export", self._data, **place)
        else:
            self._node = scene.add_mesh_simple(
                "/export", np.asarray(self._mesh.vertices, dtype=np.float32), np.asarray(self._mesh.faces),
                wireframe=True, color=(30, 30, 30), **place,
            )  # fmt: skip
        if not shown_before:
            step_back(self.server)


def step_back(server: viser.ViserServer) -> None:
    """Move cameras that are near away from where they look: what stands around the scene is then in their pictures."""
    enough = FARTHER * float(np.linalg.norm(server.initial_camera.position))
    for client in server.get_clients().values():
        ahead = client.camera.position - client.camera.look_at
        distance = float(np.linalg.norm(ahead))
        if 0.0 < distance < 0.9 * enough:
            client.camera.position = client.camera.look_at + ahead * (enough / distance)
