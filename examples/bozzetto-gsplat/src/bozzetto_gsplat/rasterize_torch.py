"""Splatting in torch, on any device; on a CPU it uses the host's compiled compositing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from bozzetto.kernels import api
from bozzetto.types import Cameras
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto_gsplat.cloud import Cloud
from bozzetto_gsplat.projection import NEAR, Projected, project

MIN_ALPHA = 1.0 / 255.0
"""Minimum alpha of a (pixel, Gaussian) pair; fainter pairs are dropped (3D Gaussian splatting, sec. 6; gsplat)."""
MAX_ALPHA = 0.999
"""Maximum alpha of a pair; below 1, so that gradients reach what is behind (gsplat)."""


class Splatted(NamedTuple):
    """Blended Gaussians, without background."""

    accumulated: Float[Tensor, "B H W C"]
    """Sum of weight times value over Gaussians."""
    opacity: Float[Tensor, "B H W 1"]


def rasterize(cloud: Cloud, values: Float[Tensor, "B N C"], cameras: Cameras) -> Splatted:
    """Blend `values` of the Gaussians front to back in each view (3D Gaussian splatting, Kerbl et al. 2023, eq. 3).

    Differentiable with respect to the cloud and the values. Operates on pairs of a pixel and a Gaussian that covers it.
    """
    pictures = []
    for view in range(len(cameras)):
        c2w, fov_y_rad = cameras.c2w[view : view + 1], cameras.fov_y_rad[view : view + 1]
        camera = Cameras(c2w, fov_y_rad, cameras.height, cameras.width)
        pictures.append(_picture(project(cloud, camera), cloud.opacity, values[view], camera))
    whole = torch.stack(pictures)
    return Splatted(whole[..., :-1], whole[..., -1:])


def _picture(
    seen: Projected, opacity: Float[Tensor, "N"], values: Float[Tensor, "N C"], camera: Cameras
) -> Float[Tensor, "H W D"]:
    """Render one view; returns the values, then the opacity."""
    pixel, gaussian = pairs(seen, opacity, camera.height, camera.width)
    column = pixel.remainder(camera.width) + 0.5
    row = pixel.div(camera.width, rounding_mode="floor") + 0.5
    middle = seen.middle.index_select(0, gaussian)
    xx, xy, yy = seen.covariance.index_select(0, gaussian).unbind(-1)
    x, y = column - middle[:, 0], row - middle[:, 1]
    squared = (yy * x * x - 2.0 * xy * x * y + xx * y * y) / (xx * yy - xy * xy)
    alpha = (opacity.index_select(0, gaussian) * torch.exp(-0.5 * squared)).clamp(max=MAX_ALPHA)
    # A sample of unit length and density -ln(1 - alpha) has opacity alpha, so the host's compositing applies.
    nothing = torch.zeros_like(alpha)
    offsets = first_rows(pixel, camera.height * camera.width)
    behind = api.composite(-torch.log1p(-alpha), nothing, nothing + 1.0, values.index_select(0, gaussian), offsets)
    whole = torch.cat([behind.accumulated, behind.opacity], dim=-1)
    return whole.view(camera.height, camera.width, -1)


@torch.no_grad()
def pairs(
    seen: Projected, opacity: Float[Tensor, "N"], height: int, width: int
) -> tuple[Int[Tensor, "S"], Int[Tensor, "S"]]:
    """Return pixel and Gaussian indices of all covered pairs, sorted by pixel, then near to far."""
    xx, xy, yy = seen.covariance.unbind(-1)
    # opacity * exp(-q / 2) is at least MIN_ALPHA where q is at most:
    reach = 2.0 * torch.log(opacity / MIN_ALPHA)
    half = torch.stack([xx, yy], dim=-1).mul(reach.clamp(min=0.0)[:, None]).sqrt()
    limit = seen.middle.new_tensor([width, height])
    first = (seen.middle - half - 0.5).ceil().clamp(min=0.0).minimum(limit).long()
    last = (seen.middle + half - 0.5).floor().clamp(min=-1.0).minimum(limit - 1.0).long()
    size = (last - first + 1).clamp(min=0)
    order = seen.depth.argsort(stable=True)
    order = order[(seen.depth > NEAR)[order] & (reach > 0.0)[order]]
    count = size.prod(dim=-1)[order]
    gaussian = order.repeat_interleave(count)
    start = (count.cumsum(0) - count).repeat_interleave(count)
    within = torch.arange(len(gaussian), device=gaussian.device) - start
    columns = size[:, 0][gaussian]
    column = first[:, 0][gaussian] + within % columns
    row = first[:, 1][gaussian] + within.div(columns, rounding_mode="floor")
    x, y = column + 0.5 - seen.middle[:, 0][gaussian], row + 0.5 - seen.middle[:, 1][gaussian]
    xx, xy, yy = xx[gaussian], xy[gaussian], yy[gaussian]
    covered = (yy * x * x - 2.0 * xy * x * y + xx * y * y) <= reach[gaussian] * (xx * yy - xy * xy)
    pixel, by_pixel = (row * width + column)[covered].sort(stable=True)
    return pixel, gaussian[covered][by_pixel]


def first_rows(pixel: Int[Tensor, "S"], pixels: int) -> Int[Tensor, "P1"]:
    """Return the index of each pixel's first pair, followed by the number of pairs."""
    count = torch.bincount(pixel, minlength=pixels)
    return torch.cat([count.new_zeros(1), count.cumsum(0)])
