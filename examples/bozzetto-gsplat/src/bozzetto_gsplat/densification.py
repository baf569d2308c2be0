"""Decides which Gaussians are removed, cloned and split, and computes those that replace them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bozzetto_gsplat.cloud import Cloud

SPLIT_SHRINK = 1.6
"""Shrink factor of a Gaussian that is split (3D Gaussian splatting, sec. 5.2)."""
MOST_OPACITY = 0.99
"""Largest opacity of the parts of a split Gaussian."""
FEWEST = 2
"""Fewest Gaussians; pruning that would leave fewer is omitted."""


@dataclass(frozen=True)
class Plan:
    """Old row of each new Gaussian: those that stay, then second halves of clones, then two parts of each split one."""

    stay: Int[Tensor, "S"]
    cloned: Int[Tensor, "C"]
    """Rows that stay and are cloned."""
    split: Int[Tensor, "P"]
    """Rows that do not stay, since two parts replace each."""

    @property
    def source(self) -> Int[Tensor, "M"]:
        """Old row of each new Gaussian."""
        return torch.cat([self.stay, self.cloned, self.split, self.split])

    @property
    def fresh(self) -> Bool[Tensor, "M"]:
        """True for clones and parts, whose optimiser state begins with zeros."""
        return torch.arange(len(self.source), device=self.stay.device) >= len(self.stay)


def shared_opacity(opacity: Float[Tensor, "N"], count: Int[Tensor, "N"] | int) -> Float[Tensor, "N"]:
    """Return the opacity of each of `count` coincident Gaussians that together have the given one: 1 - (1 - o)^(1 / K).

    Kheradmand et al. 2024 (3D Gaussian splatting as Markov chain Monte Carlo), eq. 8.
    """
    return 1.0 - (1.0 - opacity) ** (1.0 / count)


def split_opacity(opacity: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """Return the opacity of two parts, smaller by `SPLIT_SHRINK`, that cover as much of an image as the one did.

    The area of a part in an image is 1 / 1.6^2 of that of the one, hence o 1.6^2 / 2, to first order in the opacity.
    """
    return (0.5 * SPLIT_SHRINK**2 * opacity).clamp(max=MOST_OPACITY)


def planned(
    cloud: Cloud, gradient: Float[Tensor, "N"], share: float, split_above: float, prune_opacity: float, most: int
) -> Plan:
    """Decide as in 3D Gaussian splatting, sec. 5.2, with a share of the Gaussians instead of a threshold.

    Args:
        gradient: mean length of the position gradient.
        share: share of the remaining Gaussians that is cloned or split, those of the largest gradient.
        split_above: largest scale, in world units, above which a Gaussian is split.
        prune_opacity: opacity below which a Gaussian is removed.
        most: largest number of new Gaussians.
    """
    visible = cloud.opacity >= prune_opacity
    kept = visible.nonzero()[:, 0]
    if len(kept) < FEWEST:
        kept = torch.arange(len(cloud), device=kept.device)
    number = max(0, min(math.floor(share * len(kept)), most - len(kept)))
    among = gradient[kept]
    chosen = torch.zeros_like(among, dtype=torch.bool)
    chosen[among.topk(number).indices] = True
    chosen &= among > 0.0  # what no view has seen stays
    large = cloud.scale[kept].amax(dim=-1) > split_above
    return Plan(kept[~(chosen & large)], kept[chosen & ~large], kept[chosen & large])


def offsets(cloud: Cloud, generator: torch.Generator) -> Float[Tensor, "N 3"]:
    """Draw how far one part of each split Gaussian is from its centre; the other part is as far on the opposite side.

    Drawn from the Gaussian, narrowed by sqrt(1 - 1 / 1.6^2): the parts together then have the centre and the expected
    covariance of the one, so that its expected image is conserved to first order in the opacity.
    """
    own = torch.randn(len(cloud), 3, generator=generator, device=generator.device).to(cloud.scale.device)
    own = math.sqrt(1.0 - SPLIT_SHRINK**-2) * cloud.scale * own
    return (cloud.rotation @ own[..., None])[..., 0]
