"""Pictures of a scene from a browser's camera, by the scene's own renderer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8

from bozzetto.engine.pictures import pixels_of
from bozzetto.kinds.scene import Scene
from bozzetto.math.cameras import ray_directions
from bozzetto.math.map_pictures import normal_picture, surface_depth
from bozzetto.types import Cameras, Rendered

Shown = Literal["colour", "lit", "normal", "depth", "opacity"]
SHOWN: tuple[Shown, ...] = get_args(Shown)
"""What a picture can show of a scene."""
BEHIND = 160.0
"""Depth of the background, world units: close to the largest that a browser is sent."""
AMBIENT = 0.25
"""Ambient light of a lit scene; the rest is diffuse."""


@dataclass(frozen=True)
class Pose:
    """Camera of a browser."""

    wxyz: tuple[float, float, float, float]
    """Camera-to-world rotation as a unit quaternion; OpenCV axes: x right, y down, looking along z."""
    position: tuple[float, float, float]
    fov_y_rad: float
    aspect: float
    """Width by height."""


@dataclass(frozen=True)
class Look:
    """What pictures show, and the light."""

    shown: Shown = "colour"
    light_azimuth_deg: float = 30.0
    light_elevation_deg: float = 45.0
    with_depth: bool = False
    """Send depth along, so that objects of the browser stand in front of the scene or behind it."""


@dataclass(frozen=True)
class Picture:
    """Picture for a browser."""

    pixels: UInt8[np.ndarray, "H W 3"]
    depth: Float[np.ndarray, "H W"] | None
    """Distance along the viewing axis, world units."""


def cameras_of(pose: Pose, height: int, device: torch.device) -> Cameras:
    """Return a browser's camera for pictures of `height` pixels, at most twice as wide as high."""
    w, x, y, z = np.asarray(pose.wxyz, dtype=np.float64) / max(float(np.linalg.norm(pose.wxyz)), 1e-12)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    c2w = torch.eye(4)
    c2w[:3, :3] = torch.from_numpy(rotation * np.array([1.0, -1.0, -1.0])).float()  # OpenGL: y up, looking along -z
    c2w[:3, 3] = torch.tensor(pose.position)
    fov_y_rad = torch.tensor([min(max(pose.fov_y_rad, 0.05), 2.8)])
    width = max(8, round(height * min(max(pose.aspect, 0.25), 4.0)))
    return Cameras(c2w[None].to(device), fov_y_rad.to(device), height, width)


@torch.no_grad()
def picture_of(scene: Scene, cameras: Cameras, look: Look) -> Picture:
    """Render one picture."""
    rendered = _rendered(scene, cameras, look)
    image = _image(rendered, look.shown)[0]
    depth = _depth(rendered, cameras) if look.with_depth else None
    return Picture(pixels_of(image), depth)


def _rendered(scene: Scene, cameras: Cameras, look: Look) -> Rendered:
    if look.shown != "lit":
        return scene.render(cameras, normal=look.shown == "normal")
    usual = scene.material.eval_shading(cameras)
    azimuth, elevation = math.radians(look.light_azimuth_deg), math.radians(look.light_elevation_deg)
    toward = usual.light.new_tensor(
        [math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)]
    )
    away = usual.light.norm(dim=-1, keepdim=True).clamp(min=1.0)  # of a point light: its distance
    shading = replace(
        usual, mode="lambertian", light=away * toward, ambient=torch.full_like(usual.ambient, AMBIENT),
        diffuse=torch.full_like(usual.diffuse, 1.0 - AMBIENT),
    )  # fmt: skip
    return scene.renderer(cameras, scene.geometry, scene.material, scene.background, shading)


def _image(rendered: Rendered, shown: Shown) -> Float[torch.Tensor, "B H W 3"]:
    opacity = rendered.opacity
    if shown == "opacity":
        return opacity.expand(-1, -1, -1, 3)
    if shown == "normal" and rendered.normal is not None:
        return normal_picture(rendered.normal, opacity)
    if shown == "depth":
        hit = opacity > 0.5
        depth = surface_depth(rendered.depth, opacity)
        inside = depth[hit]
        near, far = (inside.min(), inside.max()) if inside.numel() else (depth.new_zeros(()),) * 2
        nearness = (1.0 - 0.8 * (depth - near) / (far - near).clamp(min=1e-6)).clamp(0.2, 1.0)
        return (opacity * nearness).expand(-1, -1, -1, 3)
    image = rendered.image[..., :3]
    if rendered.space == "latent":  # no colours: three channels, scaled to what can be seen
        image = 0.5 + image / (4.0 * image.std().clamp(min=1e-6))
    if image.shape[-1] < 3:
        image = image[..., :1].expand(-1, -1, -1, 3)
    return image


def _depth(rendered: Rendered, cameras: Cameras) -> Float[np.ndarray, "H W"]:
    along = ray_directions(cameras.c2w, cameras.fov_y_rad, cameras.height, cameras.width)
    forward = -cameras.c2w[:, :3, 2]
    z = surface_depth(rendered.depth, rendered.opacity)[..., 0] * (along * forward[:, None, None]).sum(-1)
    hit = (rendered.opacity[..., 0] > 0.5) & (rendered.depth[..., 0] > 0.0)
    found: np.ndarray = torch.where(hit, z, torch.full_like(z, BEHIND))[0].float().cpu().numpy()
    return found
