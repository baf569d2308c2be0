"""Offscreen (EGL) rasterisation of `mesh_part.Part`s to albedo, world-space normals and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bozzetto_priors.objects.mesh_part import Part
from bozzetto_priors.views import camera_matrices

VERTEX = """#version 330
in vec3 in_pos; in vec3 in_normal; in vec2 in_uv;
uniform mat4 mvp;
out vec3 pos; out vec3 normal; out vec2 uv;
void main() { gl_Position = mvp * vec4(in_pos, 1); pos = in_pos; normal = in_normal; uv = in_uv; }
"""
CURE = "pip install moderngl, and install Mesa's EGL: libegl1, libgl1-mesa-dri"
NUMBERED = 254
"""Number of parts that `draw_numbers` distinguishes."""
FRAGMENT = """#version 330
in vec3 pos; in vec3 normal; in vec2 uv;
uniform vec3 eye; uniform vec4 colour; uniform float paint; uniform bool textured; uniform sampler2D image;
layout(location=0) out vec4 out_albedo; layout(location=1) out vec4 out_normal;
void main() {
    vec4 c = vec4(colour.rgb, 1);
    if (textured) { c = texture(image, uv); if (c.a < 0.5) discard; }
    vec3 n = dot(normal, normal) > 1e-8 ? normal : cross(dFdx(pos), dFdy(pos));
    n = normalize(n);
    if (dot(n, eye - pos) < 0) n = -n;
    out_albedo = vec4(c.rgb, 1);
    out_normal = vec4(n * 0.5 + 0.5, paint);
}
"""


@dataclass(frozen=True)
class Shown:
    """Channels of one view; zero in the background."""

    albedo: np.ndarray
    """Albedo in [0, 1], "S S 3"."""
    normal: np.ndarray
    """Unit normals in world axes, toward the camera, "S S 3"."""
    paint: np.ndarray
    """Paint share in [0, 1], "S S 1"."""
    alpha: np.ndarray
    """Coverage in [0, 1], "S S 1"."""


class Rasteriser:
    """Offscreen OpenGL context that renders one model at a time, supersampled; at most one per process.

    Raises SystemExit if EGL is not available.
    """

    def __init__(self, size: int = 64, supersample: int = 3):
        try:
            import moderngl

            self.gl = moderngl.create_standalone_context(backend="egl")
        except Exception as error:  # drivers raise various errors
            raise SystemExit(f"no offscreen OpenGL ({error}); {CURE}") from None
        self.size, self.supersample = size, supersample
        self.gl.enable(moderngl.DEPTH_TEST)
        self.program = self.gl.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
        full = (size * supersample,) * 2
        targets = [self.gl.renderbuffer(full, 4) for _ in range(2)]
        self.frame = self.gl.framebuffer(targets, self.gl.depth_renderbuffer(full))
        self.drawables: list[tuple[Any, ...]] = []

    def load(self, parts: list[Part]) -> None:
        """Replace the model that `draw` renders."""
        for array, buffer, texture, _ in self.drawables:
            array.release()
            buffer.release()
            if texture is not None:
                texture.release()
        self.drawables = []
        for part in parts:
            data = np.concatenate([part.points, part.normals, part.uv], axis=1).astype("f4")
            buffer = self.gl.buffer(data.tobytes())
            array = self.gl.vertex_array(self.program, [(buffer, "3f 3f 2f", "in_pos", "in_normal", "in_uv")])
            texture = None
            if part.texture is not None:
                rows = np.ascontiguousarray(part.texture[::-1])
                texture = self.gl.texture(rows.shape[1::-1], 4, rows.tobytes(), alignment=1)
                texture.build_mipmaps()
                texture.anisotropy = 8.0
            self.drawables.append((array, buffer, texture, part.colour))

    def draw(self, eye: np.ndarray, paint: Sequence[float], fov_y_deg: float = camera_matrices.FOV_Y_DEG) -> Shown:
        """Render the loaded model from a camera at `eye` that looks at the origin.

        Args:
            paint: a number in [0, 1] for each part, rendered as `Shown.paint`.
        """
        self.frame.use()
        self.frame.clear(0, 0, 0, 0)
        mvp = camera_matrices.projection_matrix(fov_y_deg) @ camera_matrices.view_matrix(eye)
        self.program["mvp"].write(mvp.T.astype("f4").tobytes())
        self.program["eye"].value = tuple(float(v) for v in eye)
        for (array, _, texture, colour), share in zip(self.drawables, paint, strict=True):
            self.program["textured"].value = texture is not None
            self.program["colour"].value = colour
            self.program["paint"].value = share
            if texture is not None:
                texture.use(0)
            array.render()
        return self._downsample(self._read(0), self._read(1))

    def draw_numbers(self, eye: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
        """Render albedo in [0, 1], "F F 3", and part indices, -1 for none, "F F", per sample, bottom row first."""
        self.draw(eye, [(part % NUMBERED + 1) / 255.0 for part in range(parts)])
        side = self.size * self.supersample
        albedo, number = (
            np.frombuffer(self.frame.read(components=4, attachment=i), np.uint8).reshape(side, side, 4) for i in (0, 1)
        )
        return albedo[..., :3] / 255.0, number[..., 3].astype(int) - 1

    def _read(self, attachment: int) -> np.ndarray:
        """Return the sums of the bytes over each pixel's samples, "S S 4"."""
        size, fine = self.size, self.supersample
        raw = np.frombuffer(self.frame.read(components=4, attachment=attachment), np.uint8)
        rows = raw.reshape(size, fine, size * fine * 4).sum(axis=1, dtype=np.uint16)
        return rows.reshape(size, size, fine, 4).sum(axis=2, dtype=np.uint16)[::-1].astype("f4")

    def _downsample(self, albedo: np.ndarray, normal: np.ndarray) -> Shown:
        """Average over the covered samples."""
        full = 255.0 * self.supersample**2
        alpha = albedo[..., 3:] / full
        covered = np.maximum(alpha, 1e-6)
        direction = normal[..., :3] / full * 2 - alpha
        direction /= np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-6)
        return Shown(albedo[..., :3] / full / covered, direction, normal[..., 3:] / full / covered, alpha)


def draw_views(
    rasteriser: Rasteriser,
    paint: Sequence[float],
    eyes: Sequence[np.ndarray],
    fov_y_deg: float = camera_matrices.FOV_Y_DEG,
) -> dict[str, np.ndarray]:
    """Render the loaded model from `eyes`: albedo and coverage, normals and paint, "V S S 4" uint8."""
    drawn = [rasteriser.draw(eye, paint, fov_y_deg) for eye in eyes]
    colour = [np.concatenate([shown.albedo, shown.alpha], axis=-1) for shown in drawn]
    surface = [np.concatenate([0.5 * shown.normal + 0.5, shown.paint], axis=-1) for shown in drawn]
    return {"albedo": in_bytes(colour), "normal": in_bytes(surface)}


def in_bytes(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Convert numbers in [0, 1] to uint8."""
    return np.round(np.clip(np.stack(pictures), 0.0, 1.0) * 255.0).astype(np.uint8)
