"""Judge based on the photo prior's image encoder: recognises thing and side in images over white.

It was trained on renders of the same models that the prior remembers, so its verdicts are lenient.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import ResNetForImageClassification

from bozzetto_plugins.priors.photo_recall import SIDES, crop_to_object
from bozzetto_priors.objects.thing_table import THINGS
from bozzetto_priors.repository_paths import PHOTO_PRIOR

FRONT_DEG = 45.0
"""Maximum angle from the front for a side to count as front."""
MEAN, DEVIATION = 0.5, 0.5
"""Normalisation of the encoder's input images."""


@dataclass(frozen=True)
class Seen:
    """Recognised content of one image."""

    name: str
    """Name in `THINGS`; empty for none of them."""
    azimuth_deg: float
    """Azimuth in [0, 360), degrees; 0 is the front."""

    @property
    def is_front(self) -> bool:
        """True if the front faces the camera."""
        return min(self.azimuth_deg, 360.0 - self.azimuth_deg) < FRONT_DEG


@dataclass(frozen=True)
class OwnJudge:
    """Loaded encoder; it scores each side of each row of the memory, the first of which is empty."""

    network: nn.Module
    size: int
    """Input side of the encoder, pixels."""

    @classmethod
    def load(cls, folder: Path = PHOTO_PRIOR) -> OwnJudge:
        """Load the encoder of a photo prior's folder."""
        network = ResNetForImageClassification.from_pretrained(folder / "image_encoder", local_files_only=True)
        return cls(network.float().eval(), int(network.config.image_size))

    @torch.no_grad()
    def look(self, pictures: Float[Tensor, "N 3 H W"], opacity: Float[Tensor, "N 1 H W"]) -> list[Seen]:
        """Recognise the objects in images in [0, 1] over white, whose foreground is `opacity`."""
        planes = torch.cat([pictures - (1.0 - opacity), opacity], dim=1)
        cropped = crop_to_object(planes, opacity, self.size)
        shown = (cropped[:, :3] + 1.0 - cropped[:, 3:] - MEAN) / DEVIATION
        scores = self.network(pixel_values=shown).logits.unflatten(1, (-1, SIDES))
        return [self._seen(each) for each in scores]

    @staticmethod
    def _seen(scores: Float[Tensor, "R K"]) -> Seen:
        """Return the most likely thing, summed over its pieces, and its most likely side."""
        names = ["", *(thing.name for thing in THINGS for _ in thing.pieces)]
        rows = {name: [row for row, of in enumerate(names) if of == name] for name in dict.fromkeys(names)}
        name = max(rows, key=lambda each: float(scores[rows[each]].logsumexp(dim=(0, 1))))
        side = int(scores[rows[name]].logsumexp(dim=0).argmax())
        return Seen(name, side * 360.0 / SIDES)
