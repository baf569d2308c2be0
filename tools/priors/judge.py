"""A small network that names the object, the colour and the view of a 64 px picture, and how it is asked.

It learns from the renders alone and never sees a sample of the prior (`classifier.py`), so that it can judge samples
and meshes. A picture is shown several times, moved and blurred a little, and the answers are averaged.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

VIEWS = ("front", "left side", "back", "right side", "overhead")
TRAINED = Path(__file__).parent / "trained"
"""The classifier that judged the released prior."""
CHANNELS = (32, 64, 128, 192)


@dataclass(frozen=True)
class Glance:
    """One way to show a picture: scaled, shifted by shares of half its side (right and down), and perhaps blurred."""

    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    blurred: bool = False


GLANCES = (
    Glance(),
    Glance(scale=0.9, shift=(0.05, 0.05)),
    Glance(scale=0.9, shift=(-0.05, -0.05), blurred=True),
    Glance(shift=(-0.08, 0.08)),
    Glance(shift=(0.08, -0.08), blurred=True),
)


class Block(nn.Module):
    """Two convolutions with batch norm around a skip; the first halves the resolution."""

    def __init__(self, few: int, many: int):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(few, many, 3, 2, 1, bias=False), nn.BatchNorm2d(many), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(many, many, 3, 1, 1, bias=False), nn.BatchNorm2d(many))

    def forward(self, x: Tensor) -> Tensor:
        """Features "B C H W" to "B D H/2 W/2"."""
        x = self.first(x)
        return torch.relu(x + self.second(x))


class Classifier(nn.Module):
    """Logits of names, colours and views of images "B 3 64 64" in [-1, 1].

    Where the front is differs from thing to thing, so that the views of each name are read by a layer of their own.
    """

    def __init__(self, names: int, colors: int, views: int, channels: tuple[int, ...] = CHANNELS):
        super().__init__()
        first = channels[0]
        self.channels = channels
        self.stem = nn.Sequential(nn.Conv2d(3, first, 5, 2, 2, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in itertools.pairwise(channels)))
        self.mix = nn.Sequential(nn.Linear(channels[-1] * 16, 256), nn.BatchNorm1d(256), nn.ReLU())
        self.name, self.color = nn.Linear(256, names), nn.Linear(256, colors)
        self.view = nn.Linear(256, names * views)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits "B names", "B colors" and, for each name that the thing may have, "B names views"."""
        features = self.mix(self.blocks(self.stem(images)).flatten(1))
        names = self.name(features)
        return names, self.color(features), self.view(features).unflatten(1, (names.shape[1], -1))


def show(images: Tensor, scale: Tensor, shift: Tensor, turn_rad: Tensor | None = None) -> Tensor:
    """Images turned by `turn_rad` "B" about their middle, scaled by `scale` "B" and shifted by `shift` "B 2", in half
    sides; the border's colour goes on."""
    turn = torch.zeros(len(images)) if turn_rad is None else turn_rad
    cos, sin = turn.cos(), turn.sin()
    inverse = torch.stack([cos, sin, -sin, cos], dim=1).view(-1, 2, 2) / scale[:, None, None]
    matrix = torch.cat([inverse, -inverse @ shift[:, :, None]], dim=2)
    grid = nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def blur(images: Tensor) -> Tensor:
    """The mean of each pixel's 3 by 3 neighbours."""
    return nn.functional.avg_pool2d(nn.functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)


@torch.no_grad()
def answer(network: Classifier, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Indices "B" of the likeliest name, colour and, of the thing so named, view, over all glances at each image."""
    parts = []
    for part in images.split(64):
        totals = [torch.zeros(())] * 3
        for glance in GLANCES:
            shown = show(part, torch.full((len(part),), glance.scale), torch.tensor(glance.shift).expand(len(part), 2))
            logits = network(blur(shown) if glance.blurred else shown)
            totals = [total + logit.softmax(-1) for total, logit in zip(totals, logits, strict=True)]
        name, color = totals[0].argmax(1), totals[1].argmax(1)
        parts.append((name, color, totals[2][torch.arange(len(name)), name].argmax(1)))
    name, color, view = (torch.cat(column) for column in zip(*parts, strict=True))
    return name, color, view


@dataclass(frozen=True)
class Judge:
    """A trained classifier and its words. `distinct` are the names whose views can be told apart."""

    network: Classifier
    names: tuple[str, ...]
    colors: tuple[str, ...]
    views: tuple[str, ...]
    distinct: frozenset[str]

    @classmethod
    def load(cls, folder: Path) -> Judge:
        """Read what `classifier.py` wrote."""
        words = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
        tables = [tuple(words[key]) for key in ("names", "colors", "views")]
        network = Classifier(*map(len, tables), channels=tuple(words["channels"]))
        weights = load_file(folder / "classifier.safetensors")
        network.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
        )
        return cls(network.eval(), *tables, frozenset(words["distinct"]))

    def look(self, images: Tensor) -> list[tuple[str, str, str]]:
        """(name, colour, view) of each of `images` "B 3 64 64" in [-1, 1]."""
        columns = (column.tolist() for column in answer(self.network, images))
        return [(self.names[n], self.colors[c], self.views[v]) for n, c, v in zip(*columns, strict=True)]
