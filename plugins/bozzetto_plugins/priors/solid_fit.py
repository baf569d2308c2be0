"""Least-squares fit of a remembered thing to a photo: stretch, turn, shift and paint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bozzetto.math.photos import resize_masked
from bozzetto.types import Cameras, Rays, Reference
from bozzetto_plugins.priors.camera_denoiser import Recalled
from bozzetto_plugins.priors.solid_memory import Placement, SolidMemory

SIDE = 40
"""Side of the compared images, pixels."""
STEPS = (0.05, 0.04, 0.04, 0.04, 0.03, 0.03, 0.03)
"""Finite-difference steps of turn (radians), log stretch (3) and shift (3)."""
SPREAD = (0.15, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12)
"""Prior standard deviations in the same order: turn from the guess, stretch from its mean over axes, shift from 0."""
SIZE_SPREAD, DEPTH_SPREAD = 0.5, 0.05
"""Prior standard deviations of log size, and of the shift toward the camera, which resembles a change of size."""
DOUBT = 0.06
"""Weight of the prior residuals relative to pixel residuals."""
MOST = 0.3
"""Maximum change of one parameter in one step."""
ROUGH, FINE = (5, 5, 3), (3, 3, 3, 3, 3)
"""Side of the averaging window of each step, pixels: coarse position first, then edges."""
COLOUR_WEIGHT = 0.6
PROBE = 0.7
"""Grey paint whose shaded tones are not clamped."""
WORTH_PAINT = 0.7
"""Paint is rejected if it leaves more than this share of the colour error."""


@dataclass(frozen=True)
class Seen:
    """Downsampled photo and the rays of its pixels."""

    picture: Float[Tensor, "4 S S"]
    """Colour multiplied by opacity, and opacity."""
    rays: Rays
    camera: Cameras

    @classmethod
    def of(cls, photo: Reference, camera: Cameras, device: torch.device, side: int = SIDE) -> Seen:
        """Downsample a photo, as if taken by `camera`."""
        image, mask = resize_masked(photo.image, photo.mask, (side, side))
        small = Cameras(camera.c2w.to(device), camera.fov_y_rad.to(device), side, side)
        picture = torch.cat([image * mask, mask], dim=-1).permute(2, 0, 1)
        return cls(picture.to(device).float(), small.rays(), small)

    @property
    def area(self) -> Float[Tensor, ""]:
        """Number of foreground pixels, at least one."""
        return self.picture[3].sum().clamp(min=1.0)


@dataclass(frozen=True)
class Fit:
    """Result of fitting one thing to a photo."""

    recalled: Recalled
    """Fitted thing, paint and placement; one row."""
    error: float
    """Remaining squared error relative to the object's area, plus the prior penalty."""


def draw(memory: SolidMemory, recalled: Recalled, rays: Rays) -> Float[Tensor, "B 4 S S"]:
    """Render each row along the rays of one image: colour multiplied by opacity, and opacity."""
    count = len(recalled.thing)
    _, height, width = rays.image_shape
    same = Rays(rays.origin.repeat(count, 1), rays.direction.repeat(count, 1), (count, height, width))
    drawn = memory.draw(recalled.thing, same, recalled.paint, recalled.painted, recalled.placement)
    return torch.cat(list(drawn), dim=-1).permute(0, 3, 1, 2)


def fit(memory: SolidMemory, photo: Seen, guess: Recalled, blurs: Sequence[int] = ROUGH + FINE) -> Fit:
    """Fit the thing of `guess`, of one row, to the photo near its initial placement, with one step per blur.

    Damped least squares (Levenberg-Marquardt; Marquardt 1963) with finite differences: marching through occupied cells
    is not differentiable.
    """
    start = numbers_of(guess)
    now, damping = start, 0.1
    left = _residuals(memory, photo, guess, now[None], start, blurs[0] if blurs else 1)[0]
    for number, blur in enumerate(blurs):
        if number > 0 and blur != blurs[number - 1]:
            left = _residuals(memory, photo, guess, now[None], start, blur)[0]
        steps = torch.diag(now.new_tensor(STEPS))
        slopes = ((_residuals(memory, photo, guess, now + steps, start, blur) - left) / steps.diagonal()[:, None]).T
        normal = slopes.T @ slopes
        for _ in range(2):
            damped = normal + damping * torch.diag(normal.diagonal() + 1e-4)
            change = torch.linalg.solve(damped, -slopes.T @ left).clamp(-MOST, MOST)
            tried = _residuals(memory, photo, guess, (now + change)[None], start, blur)[0]
            if tried.square().sum() < left.square().sum():
                now, left, damping = now + change, tried, 0.3 * damping
                break
            damping = 5.0 * damping
    return Fit(at(guess, now[None]), float(left.square().sum()))


def numbers_of(recalled: Recalled) -> Float[Tensor, "7"]:
    """Return turn, stretch and shift of the first row as a vector."""
    assert recalled.placement is not None
    turn, stretch, shift = recalled.placement
    return torch.cat([turn[:1], stretch[0], shift[0]])


def at(recalled: Recalled, numbers: Float[Tensor, "B 7"]) -> Recalled:
    """Return the first row's thing and paint with the placement of each row of `numbers`."""
    count = len(numbers)
    place = Placement(numbers[:, 0], numbers[:, 1:4], numbers[:, 4:7])
    thing, paint, painted = recalled.thing[:1], recalled.paint[:1], recalled.painted[:1]
    return Recalled(thing.expand(count), paint.expand(count, -1), painted.expand(count), place)


def with_paint(memory: SolidMemory, photo: Seen, recalled: Recalled) -> Recalled:
    """Return one row with the best-fitting paint if that explains the photo clearly better than its own colours."""
    shade = torch.tensor([0.0, 0.0, PROBE], device=photo.picture.device)[:, None].expand(-1, 3)
    three = at(recalled, numbers_of(recalled).expand(3, -1))
    put = torch.tensor([0.0, 1.0, 1.0], device=photo.picture.device)
    own, black, grey = draw(memory, three._replace(paint=shade, painted=put), photo.rays)[:, :3]
    share, wanted = (grey - black) / PROBE, photo.picture[:3]
    paint = (share * (wanted - black)).sum(dim=(1, 2)) / share.square().sum(dim=(1, 2)).clamp(min=1e-3)
    paint = paint.clamp(0.0, 1.0)
    errors = [(one - wanted).square().sum() for one in (own, black + share * paint[:, None, None])]
    painted = float(errors[1] < WORTH_PAINT * errors[0])
    return recalled._replace(paint=painted * paint[None], painted=recalled.painted.new_full((1,), painted))


def _residuals(
    memory: SolidMemory, photo: Seen, guess: Recalled, numbers: Float[Tensor, "B 7"], start: Float[Tensor, "7"],
    blur: int,
) -> Float[Tensor, "B N"]:  # fmt: skip
    """Return the residuals of each row of `numbers`: weighted pixel differences and prior terms."""
    off = draw(memory, at(guess, numbers), photo.rays) - photo.picture
    off = torch.nn.functional.avg_pool2d(off, blur, stride=1, padding=blur // 2)
    weight = off.new_tensor([COLOUR_WEIGHT] * 3 + [1.0]).view(4, 1, 1)
    change = numbers - torch.cat([start[:1], torch.zeros_like(start[1:])])
    size = numbers[:, 1:4].mean(dim=1, keepdim=True)
    x, y, z = photo.camera.c2w[0, :3, 2].unbind()
    cos, sin = torch.cos(numbers[:, 0]), torch.sin(numbers[:, 0])
    depth = ((cos * x - sin * y) * numbers[:, 4] + (sin * x + cos * y) * numbers[:, 5] + z * numbers[:, 6])[:, None]
    change = torch.cat([change[:, :1], change[:, 1:4] - size, change[:, 4:]], dim=1)
    doubts = torch.cat([change / change.new_tensor(SPREAD), size / SIZE_SPREAD, depth / DEPTH_SPREAD], dim=1)
    return torch.cat([(off * weight).flatten(1) / photo.area.sqrt(), DOUBT * doubts], dim=1)
