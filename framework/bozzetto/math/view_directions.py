"""View directions from camera angles, hard or interpolated, and the weights of Perp-Neg's negative prompts."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = [
    "DIRECTIONS",
    "NEGATIVES",
    "SIDES",
    "Decay",
    "absolute_azimuth_deg",
    "hard_weights",
    "interpolation_weights",
    "perp_neg_weights",
    "shifted_decay",
    "split_sides",
    "switched_perp_neg_weights",
    "view_direction",
]

DIRECTIONS = ("front", "side", "back", "overhead")
"""Order of every index and weight below."""
SIDES = ("left side", "right side")
"""Left and right side of the object (it faces azimuth 0; azimuth +90 sees its left), in the order of `split_sides`."""
NEGATIVES = ("front", "side")
"""Directions of the negative prompts of Perp-Neg, in the order of `perp_neg_weights`."""

Decay = tuple[float, float, float]


def absolute_azimuth_deg(azimuth_deg: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """Return |azimuth| in [0, 180], modulo full turns."""
    return (torch.remainder(azimuth_deg + 180.0, 360.0) - 180.0).abs()


def view_direction(
    azimuth_deg: Float[Tensor, "B"], elevation_deg: Float[Tensor, "B"], front_deg: float, overhead_deg: float
) -> Int[Tensor, "B"]:
    """Return the index in `DIRECTIONS` of each view.

    Overhead where `elevation > overhead_deg`; else front where `|azimuth| < front_deg / 2`, back where `|azimuth| > 180
    - front_deg / 2`, else side. On a border: not overhead, and side.
    """
    azimuth = absolute_azimuth_deg(azimuth_deg)
    index = torch.full_like(azimuth, DIRECTIONS.index("side"), dtype=torch.long)
    index = index.masked_fill(azimuth < front_deg / 2, DIRECTIONS.index("front"))
    index = index.masked_fill(azimuth > 180.0 - front_deg / 2, DIRECTIONS.index("back"))
    return index.masked_fill(elevation_deg > overhead_deg, DIRECTIONS.index("overhead"))


def hard_weights(
    azimuth_deg: Float[Tensor, "B"], elevation_deg: Float[Tensor, "B"], front_deg: float, overhead_deg: float
) -> Float[Tensor, "B 4"]:
    """Return `view_direction` as one-hot weights over `DIRECTIONS`."""
    index = view_direction(azimuth_deg, elevation_deg, front_deg, overhead_deg)
    return torch.nn.functional.one_hot(index, len(DIRECTIONS)).to(azimuth_deg.dtype)


def interpolation_weights(
    azimuth_deg: Float[Tensor, "B"], elevation_deg: Float[Tensor, "B"], overhead_deg: float
) -> Float[Tensor, "B 4"]:
    """Return weights over `DIRECTIONS`, sum 1: front to side over |azimuth| in [0, 90], side to back over [90, 180].

    Stable-DreamFusion's rule for the three views around the object. Overhead is a hard switch: near the pole the
    azimuth means little, and recipes seldom sample such cameras, so there is no range to interpolate over.
    """
    turn = absolute_azimuth_deg(azimuth_deg) / 90.0
    around = torch.stack([(1.0 - turn).clamp_min(0), 1.0 - (1.0 - turn).abs(), (turn - 1.0).clamp_min(0)], dim=-1)
    overhead = (elevation_deg > overhead_deg).to(around.dtype)[:, None]
    return torch.cat([(1.0 - overhead) * around, overhead], dim=-1)


def split_sides(weights: Float[Tensor, "B 4"], azimuth_deg: Float[Tensor, "B"]) -> Float[Tensor, "B 6"]:
    """Return weights over `(*DIRECTIONS, *SIDES)`: that of `side` moves to the visible side, left for [0, 180)."""
    left = torch.remainder(azimuth_deg, 360.0) < 180.0
    column = DIRECTIONS.index("side")
    side = weights[:, column]
    moved = torch.stack([side * left, side * ~left], dim=-1)
    kept = weights * (torch.arange(len(DIRECTIONS), device=weights.device) != column)
    return torch.cat([kept, moved], dim=-1)


def shifted_decay(decay: Decay, ratio: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """Evaluate `a exp(-b ratio) + c` for `decay = (a, b, c)`."""
    a, b, c = decay
    return a * torch.exp(-b * ratio) + c


def perp_neg_weights(
    azimuth_deg: Float[Tensor, "B"],
    elevation_deg: Float[Tensor, "B"],
    overhead_deg: float,
    front_side: Decay,
    side_front: Decay,
    side_back: Decay,
    front_side_back: Decay,
) -> Float[Tensor, "B 2"]:
    """Return the non-positive Perp-Neg weights of the `NEGATIVES` for each view (threestudio's form of the weights).

    With r = 1 at the front and 0 at the side: front -f_front_side(r), side -f_side_front(1 - r). With r = 1 at the side
    and 0 at the back: front -f_front_side_back(r), side -f_side_back(r). Overhead views: 0. Positive results, possible
    by rounding at a decay's root, are clamped to 0.
    """
    azimuth = absolute_azimuth_deg(azimuth_deg)
    to_side = 1.0 - azimuth / 90.0
    to_back = 2.0 - azimuth / 90.0
    ahead = torch.stack([shifted_decay(front_side, to_side), shifted_decay(side_front, 1.0 - to_side)], dim=-1)
    behind = torch.stack([shifted_decay(front_side_back, to_back), shifted_decay(side_back, to_back)], dim=-1)
    weights = -torch.where((azimuth < 90.0)[:, None], ahead, behind)
    weights = torch.where((elevation_deg > overhead_deg)[:, None], torch.zeros_like(weights), weights)
    return weights.clamp_max(0.0)


def switched_perp_neg_weights(
    azimuth_deg: Float[Tensor, "B"],
    elevation_deg: Float[Tensor, "B"],
    overhead_deg: float,
    strength: float = 2.0,
    front_decay: float = 2.0,
    side_decay: float = 10.0,
) -> Float[Tensor, "B 2"]:
    """Return the non-positive Perp-Neg weights of the `NEGATIVES` for each view (stable-dreamfusion's form).

    With r = 1 at the front and 0 at the side: front -strength exp(-front_decay r), switched off for r > 0.8; side
    -strength exp(-side_decay (1 - r)), off for r < 0.2. With r = 1 at the side and 0 at the back: front -strength; side
    -strength / 2 exp(-side_decay r), off for r > 0.8. Overhead views, which that form does not know: 0.
    """
    azimuth = absolute_azimuth_deg(azimuth_deg)
    to_side, to_back = 1.0 - azimuth / 90.0, 2.0 - azimuth / 90.0
    zero = torch.zeros_like(azimuth)
    ahead = torch.stack(
        [
            torch.where(to_side > 0.8, zero, torch.exp(-front_decay * to_side)),
            torch.where(to_side < 0.2, zero, torch.exp(-side_decay * (1.0 - to_side))),
        ],
        dim=-1,
    )
    side_behind = torch.where(to_back > 0.8, zero, 0.5 * torch.exp(-side_decay * to_back))
    behind = torch.stack([torch.ones_like(azimuth), side_behind], dim=-1)
    weights = -strength * torch.where((azimuth < 90.0)[:, None], ahead, behind)
    return torch.where((elevation_deg > overhead_deg)[:, None], torch.zeros_like(weights), weights)
