"""Splatting with the package gsplat (nerfstudio), which requires CUDA; same interface as `rasterize_torch`."""

from __future__ import annotations

import importlib.util

import torch
from bozzetto.errors import ConfigError
from bozzetto.types import Cameras
from jaxtyping import Float
from torch import Tensor

from bozzetto_gsplat.cloud import Cloud
from bozzetto_gsplat.projection import BLUR, NEAR, focal_px
from bozzetto_gsplat.rasterize_torch import Splatted


def installed() -> bool:
    """Return whether gsplat is installed, without importing it."""
    return importlib.util.find_spec("gsplat") is not None


def rasterize(cloud: Cloud, values: Float[Tensor, "B N C"], cameras: Cameras) -> Splatted:
    """Blend `values` of the Gaussians front to back in each view.

    Raises:
        ConfigError: gsplat is not installed.
    """
    try:
        from gsplat import rasterization
    except ImportError as error:
        raise ConfigError(
            f"system.renderer.rasterizer: gsplat cannot be imported ({error}). Run pip install gsplat, or choose torch."
        ) from None
    accumulated, opacity, _ = rasterization(
        means=cloud.position,
        quats=cloud.quaternion,
        scales=cloud.scale,
        opacities=cloud.opacity,
        colors=values,
        viewmats=world_to_opencv(cameras.c2w),
        Ks=intrinsics(cameras),
        width=cameras.width,
        height=cameras.height,
        near_plane=NEAR,
        eps2d=BLUR,
    )
    return Splatted(accumulated, opacity)


def world_to_opencv(c2w: Float[Tensor, "B 4 4"]) -> Float[Tensor, "B 4 4"]:
    """Convert OpenGL camera poses to gsplat's view matrices: world to camera, x right, y down, looking along +z."""
    turned = c2w * c2w.new_tensor([1.0, -1.0, -1.0, 1.0])
    rotation, position = turned[:, :3, :3].mT, turned[:, :3, 3:]
    top = torch.cat([rotation, -rotation @ position], dim=-1)
    return torch.cat([top, turned[:, 3:]], dim=1)


def intrinsics(cameras: Cameras) -> Float[Tensor, "B 3 3"]:
    """Return pinhole matrices in pixels, with the principal point at the image centre."""
    focal = focal_px(cameras)
    matrix = focal.new_zeros(len(cameras), 3, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = focal
    matrix[:, 0, 2], matrix[:, 1, 2], matrix[:, 2, 2] = 0.5 * cameras.width, 0.5 * cameras.height, 1.0
    return matrix
