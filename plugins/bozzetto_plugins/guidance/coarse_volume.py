"""Fit of a coarse volume to given images, to score hypotheses about their cameras."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bozzetto.math.compositing import composite
from bozzetto.types import Cameras

CELLS = 16
"""Cells of the volume along each side."""
SAMPLES = 24
"""Samples along each ray."""
RAYS = 512
"""Rays drawn for each optimisation step."""
STEPS = 40
LEARNING_RATE = 0.2
DENSEST = 10.0
"""Factor from softplus of the volume's value to density."""
EMPTY = -2.0
"""Initial value of the volume, almost empty."""
WHITE = 1.0


def least_errors(
    pictures: Float[Tensor, "V S S 3"], cameras: Sequence[Cameras], generator: torch.Generator
) -> Float[Tensor, "K"]:
    """Return the mean squared error that remains after fitting a volume to images: low for correct cameras.

    K volumes of density and colour are fitted at once by volume rendering, each to the same V images over white and to
    its own V cameras. A volume is a cube at the origin whose side is the height of the first camera's frame there.

    Args:
        cameras: K sets of V cameras of the images' size that look at the origin.
        generator: draws the rays of each step, the same for all volumes.
    """
    wanted = pictures.reshape(-1, 3)
    rays = [views.rays() for views in cameras]
    origin = torch.stack([one.origin for one in rays])
    direction = torch.stack([one.direction for one in rays])
    distance = cameras[0].distance[0]
    half = distance * torch.tan(0.5 * cameras[0].fov_y_rad[0])
    shape = (len(cameras), 4, CELLS, CELLS, CELLS)
    volume = wanted.new_zeros(shape)
    volume[:, 0] = EMPTY
    volume.requires_grad_()
    optimizer = torch.optim.Adam([volume], lr=LEARNING_RATE, betas=(0.8, 0.95))

    def errors(chosen: Int[Tensor, "R"]) -> Float[Tensor, "K"]:
        seen = _render(volume, origin[:, chosen], direction[:, chosen], distance, half)
        return (seen - wanted[chosen]).square().mean(dim=(1, 2))

    with torch.enable_grad():
        for _ in range(STEPS):
            chosen = torch.randint(len(wanted), (RAYS,), generator=generator, device=generator.device)
            optimizer.zero_grad()
            errors(chosen.to(wanted.device)).sum().backward()
            optimizer.step()
    return errors(torch.arange(len(wanted), device=wanted.device)).detach()


def _render(
    volume: Float[Tensor, "K 4 G G G"], origin: Float[Tensor, "K R 3"], direction: Float[Tensor, "K R 3"],
    distance: Float[Tensor, ""], half: Float[Tensor, ""],
) -> Float[Tensor, "K R 3"]:  # fmt: skip
    """Render K volumes along their rays, over white."""
    edges = distance + half * torch.linspace(-1.0, 1.0, SAMPLES + 1, device=volume.device)
    middle = 0.5 * (edges[1:] + edges[:-1])
    points = (origin[:, :, None] + direction[:, :, None] * middle[:, None]) / half
    values = torch.nn.functional.grid_sample(volume, points[:, :, :, None], align_corners=False)[..., 0]
    inside = (points.abs() < 1.0).all(dim=-1)
    density = DENSEST * torch.nn.functional.softplus(values[:, 0]) * inside
    colour = torch.sigmoid(2.0 * values[:, 1:]).permute(0, 2, 3, 1)
    count = origin.shape[0] * origin.shape[1]
    offsets = torch.arange(count + 1, device=volume.device) * SAMPLES
    starts, ends = edges[:-1].repeat(count), edges[1:].repeat(count)
    rays = composite(density.reshape(-1), starts, ends, colour.reshape(-1, 3), offsets)
    return (rays.accumulated + WHITE * (1.0 - rays.opacity)).view(*origin.shape)
