"""Comparison of an exported mesh with renders of the training renderer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bozzetto.kernels.api import interpolate, rasterize, texture
from bozzetto.kinds.scene import Scene
from bozzetto.math.image_similarity import psnr_db
from bozzetto.math.silhouettes import SOLID, overlap
from bozzetto.types import Cameras
from bozzetto_plugins.exporter.read_back import ReadBack
from bozzetto_plugins.exporter.white import White

TOLD_BACK_FACES = 0.01
"""Share of back-face pixels from which it is reported."""


@dataclass(frozen=True)
class Views:
    """Renders of a scene by the training renderer: unlit base colour on white."""

    cameras: Cameras
    image: Float[Tensor, "B H W 3"]
    solid: Bool[Tensor, "B H W"]
    """Foreground mask: opacity is at least one half."""


@dataclass(frozen=True)
class Likeness:
    """Similarity of a mesh file to the training renderer."""

    silhouette_overlap: float
    """Mask IoU, in [0, 1]."""
    psnr_db: float | None = None
    """PSNR of whole images on white, dB; None if the file has no colours."""
    object_psnr_db: float | None = None
    """PSNR of the pixels that are foreground in either image, dB; stricter, since white pixels are excluded."""
    back_faces: float | None = None
    """Share of foreground pixels whose nearest face is a back-face, which viewers cull; None if below 1%."""

    def __str__(self) -> str:
        silhouette = f"silhouette overlap {self.silhouette_overlap:.3f}"
        if self.back_faces is not None:
            silhouette += f", {self.back_faces:.0%} of the foreground shows back-faces, which viewers cull"
        if self.psnr_db is None:
            return silhouette
        return f"PSNR {self.psnr_db:.1f} dB (object alone {self.object_psnr_db:.1f} dB), {silhouette}"

    def facts(self) -> Mapping[str, Any]:
        """Return the measurements for the manifest, rounded to 4 digits."""
        return {name: round(value, 4) for name, value in asdict(self).items() if value is not None}


def training_views(scene: Scene, count: int, size: int) -> Views | None:
    """Render `count` views from the scene's evaluation cameras; return None if the scene does not render RGB."""
    cameras = replace(scene.views.eval_cameras(count, scene.device), height=size, width=size)
    images, solid = [], []
    for number in range(count):
        camera = replace(
            cameras, c2w=cameras.c2w[number : number + 1], fov_y_rad=cameras.fov_y_rad[number : number + 1]
        )
        shading = replace(scene.material.eval_shading(camera), mode="albedo")
        rendered = scene.renderer(camera, scene.geometry, scene.material, White(), shading)
        if rendered.space != "rgb":
            return None
        images.append(rendered.image.cpu())
        solid.append(rendered.opacity[..., 0].cpu() >= SOLID)
    on_cpu = replace(cameras, c2w=cameras.c2w.cpu(), fov_y_rad=cameras.fov_y_rad.cpu())
    return Views(on_cpu, torch.cat(images).clamp(0.0, 1.0), torch.cat(solid))


def compare(found: ReadBack, views: Views) -> Likeness:
    """Render a read-back mesh, in world units, with the cameras of `views` and measure the difference."""
    picture, covered, backs = draw(found, views.cameras)
    alike, told = overlap(covered, views.solid), backs if backs >= TOLD_BACK_FACES else None
    if picture is None:
        return Likeness(alike, back_faces=told)
    either = covered | views.solid
    shown = either if bool(either.any()) else torch.ones_like(either)
    of_object = float(psnr_db(picture[shown], views.image[shown]))
    return Likeness(alike, float(psnr_db(picture, views.image)), of_object, told)


def draw(found: ReadBack, cameras: Cameras) -> tuple[Float[Tensor, "B H W 3"] | None, Bool[Tensor, "B H W"], float]:
    """Render a mesh in world units on white, unlit, with back-face culling as in viewers, row 0 at the top.

    Returns:
        Colours or None if the mesh has none; the pixels that the mesh covers; and the share of back-faces among the
        nearest faces, i.e. among pixels covered without culling.
    """
    mesh, parts, backs, both = found.mesh, [], 0, 0
    clip = cameras.clip_positions(mesh.vertices, float(mesh.vertices.abs().max()))
    corners = mesh.vertices[mesh.faces]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = (cameras.height, cameras.width)
    for number in range(len(cameras)):
        toward = cameras.c2w[number, :3, 3] - corners[:, 0]
        front = (normal * toward).sum(-1) > 0.0
        nearest = rasterize(clip[number : number + 1], mesh.faces.int(), size)[0][..., 3]
        seen = nearest[nearest > 0].long() - 1
        backs, both = backs + int((~front[seen]).sum()), both + len(seen)
        parts.append(_draw_one(found, clip[number : number + 1], mesh.faces[front].int(), size))
    pictures = [picture for picture, _ in parts if picture is not None]
    covered = torch.cat([solid for _, solid in parts])
    return torch.cat(pictures) if pictures else None, covered, backs / max(both, 1)


def _draw_one(
    found: ReadBack, clip: Float[Tensor, "1 V 4"], faces: Int[Tensor, "T 3"], size: tuple[int, int]
) -> tuple[Float[Tensor, "1 H W 3"] | None, Bool[Tensor, "1 H W"]]:
    """Render some faces of one view; return the image or None, and the covered pixels."""
    mesh = found.mesh
    rast, _ = rasterize(clip, faces, size)
    covered = rast[..., 3] > 0
    if mesh.texture is not None and mesh.uvs is not None:
        uv, _ = interpolate(mesh.uvs[None], rast, faces)
        # v points down from row 0 in the kernel, and up from the last row in a mesh.
        down = torch.stack([uv[..., 0], 1.0 - uv[..., 1]], dim=-1)
        color = texture(mesh.texture[None], down, filter_mode="linear", boundary_mode="clamp")
    elif found.colors is not None:
        color, _ = interpolate(found.colors[None], rast, faces)
    else:
        return None, covered
    return torch.where(covered[..., None], color, torch.ones_like(color)), covered
