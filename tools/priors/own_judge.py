"""What the photo prior's image encoder recognises in pictures over white: which thing, and from which side.

It learned from renders of the very models that the prior remembers, so it is kind to what was made of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import ResNetForImageClassification

from bozzetto_plugins.guidance.photo_recall import SIDES, crop_to_object
from objects import THINGS

PHOTO_PRIOR = Path(__file__).parents[2] / "plugins" / "bozzetto_plugins" / "priors" / "bozzetto-mini-zero123"
FRONT_DEG = 45.0
"""Sides nearer to the front than this are called front."""
MEAN, DEVIATION = 0.5, 0.5
"""Of the pictures that the encoder reads."""


@dataclass(frozen=True)
class Seen:
    """What one picture shows."""

    name: str
    """Of `THINGS`; empty for what is none of them."""
    azimuth_deg: float
    """In [0, 360): 0 is the front."""

    @property
    def is_front(self) -> bool:
        """Whether the front is turned to the camera."""
        return min(self.azimuth_deg, 360.0 - self.azimuth_deg) < FRONT_DEG


@dataclass(frozen=True)
class OwnJudge:
    """The encoder, ready to be asked; it has a score for each side of each row of the memory, the first of which is
    nothing."""

    network: nn.Module
    size: int
    """Pixels along each side of what it reads."""

    @classmethod
    def load(cls, folder: Path = PHOTO_PRIOR) -> OwnJudge:
        """Read the encoder of a photo prior's folder."""
        network = ResNetForImageClassification.from_pretrained(folder / "image_encoder", local_files_only=True)
        return cls(network.float().eval(), int(network.config.image_size))

    @torch.no_grad()
    def look(self, pictures: Float[Tensor, "N 3 H W"], opacity: Float[Tensor, "N 1 H W"]) -> list[Seen]:
        """What pictures in [0, 1] over white show, the objects of which cover `opacity`."""
        planes = torch.cat([pictures - (1.0 - opacity), opacity], dim=1)
        cropped = crop_to_object(planes, opacity, self.size)
        shown = (cropped[:, :3] + 1.0 - cropped[:, 3:] - MEAN) / DEVIATION
        scores = self.network(pixel_values=shown).logits.unflatten(1, (-1, SIDES))
        return [self._seen(each) for each in scores]

    @staticmethod
    def _seen(scores: Float[Tensor, "R K"]) -> Seen:
        """The likeliest thing, whichever of its pieces it is, and the likeliest side of it."""
        names = ["", *(thing.name for thing in THINGS for _ in thing.pieces)]
        rows = {name: [row for row, of in enumerate(names) if of == name] for name in dict.fromkeys(names)}
        name = max(rows, key=lambda each: float(scores[rows[each]].logsumexp(dim=(0, 1))))
        side = int(scores[rows[name]].logsumexp(dim=0).argmax())
        return Seen(name, side * 360.0 / SIDES)
