"""Pairs of views of one piece, equally coloured and lit, and the relative pose between them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from data import LUMA, RECOLOURED, recolour, shade

from captions import COLORS
from objects import THINGS, Thing

HELD_OUT = (
    "BlendSwap-CC-0/chicken",
    "BlendSwap-CC-0/stoneLantern",
    "BlendSwap-CC-0/tableFan",
    "KatorLegaz/coffee-mug",
    "Scopia/dog",
    "Scopia/truck",
)
"""Pieces that no training sees, for tests of what the prior makes of the unknown."""
OTHER_WEIGHT, OTHER_RECOLOUR = 0.7, 0.25
"""Of pieces that are rendered but have no name in `objects.THINGS`."""


@dataclass(frozen=True)
class Pieces:
    """Rendered pieces in memory, one row each of N: uint8 views "N V ... S S", `camera` "N V 3" (degrees, distance)."""

    keys: tuple[str, ...]
    albedo: torch.Tensor
    normal: torch.Tensor
    alpha: torch.Tensor
    camera: torch.Tensor
    luma: torch.Tensor
    weight: torch.Tensor
    recolour: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.keys)


def rendered_keys(folder: Path) -> tuple[str, ...]:
    """Every piece with renders in `folder`, as `catalogue/model`."""
    return tuple(path.stem.replace("__", "/") for path in sorted(folder.glob("*__*.npz")) if ".tmp" not in path.name)


def load_pieces(folder: Path, keys: tuple[str, ...], every: int | None = 24) -> Pieces:
    """Read the pieces `keys`, but of the views of each every 24th, which no training sees; None: all views."""
    things = {key: thing for thing in THINGS for key in thing.keys}
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("albedo", "normal", "alpha", "camera")}
    lumas = []
    for key in keys:
        with np.load(folder / f"{key.replace('/', '__')}.npz") as arrays:
            number = np.arange(len(arrays["camera"]))
            pick = number >= 0 if every is None else number % every != every // 2
            cover = arrays["alpha"].astype("f4")
            lumas.append(float((arrays["albedo"] @ np.asarray(LUMA, "f4") * cover).sum() / cover.sum() / 255.0))
            columns["albedo"].append(arrays["albedo"][pick].transpose(0, 3, 1, 2))
            columns["normal"].append(arrays["normal"][pick].transpose(0, 3, 1, 2))
            columns["alpha"].append(arrays["alpha"][pick][:, None])
            columns["camera"].append(arrays["camera"][pick])
    stacked = {name: torch.from_numpy(np.stack(values)) for name, values in columns.items()}
    return Pieces(
        keys=keys,
        luma=torch.tensor(lumas),
        weight=torch.tensor([_weight(things.get(key)) for key in keys]),
        recolour=tuple(RECOLOURED if key in things else OTHER_RECOLOUR for key in keys),
        **stacked,
    )


def _weight(thing: Thing | None) -> float:
    """How often a piece is drawn: less uneven than captions are, as every piece teaches how things turn."""
    return len(thing.keys) ** -0.5 if thing else OTHER_WEIGHT


@dataclass(frozen=True)
class Scenes:
    """S coloured and lit pieces, K views of each on white."""

    images: torch.Tensor
    """ "S K 3 H W" in [-1, 1]."""
    camera: torch.Tensor
    """ "S K 3": azimuth and elevation in degrees, distance."""
    piece: torch.Tensor
    """ "S", row in `Pieces`."""


def draw_scenes(pieces: Pieces, count: int, views: int, rng: random.Random) -> Scenes:
    """`count` random scenes of `views` views each. Colour, light and ambient level are the scene's, not the view's."""
    piece = torch.multinomial(pieces.weight, count, replacement=True)
    view = torch.stack([torch.randperm(pieces.camera.shape[1])[:views] for _ in range(count)])
    words = [rng.choice(list(COLORS)) if rng.random() < pieces.recolour[int(p)] else None for p in piece]
    light = torch.nn.functional.normalize(torch.randn(count, 3) + torch.tensor([0.5, 0.0, 0.7]), dim=1)
    ambient = torch.where(torch.rand(count) < 0.3, torch.ones(count), 0.4 + 0.6 * torch.rand(count))
    return Scenes(shade_views(pieces, piece, view, words, light, ambient), pieces.camera[piece[:, None], view], piece)


def shade_views(
    pieces: Pieces, piece: torch.Tensor, view: torch.Tensor, words: list[str | None], light: torch.Tensor,
    ambient: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """Images "S K 3 H W" in [-1, 1] of `view` "S K" of `piece` "S" under `light` "S 3" and `ambient` "S", on white."""
    rows, columns, views = piece[:, None].expand_as(view).flatten(), view.flatten(), view.shape[1]
    albedo = pieces.albedo[rows, columns].float() / 255.0
    alpha = pieces.alpha[rows, columns].float() / 255.0
    normal = pieces.normal[rows, columns].float() / 127.5 - 1.0
    rgb = torch.tensor([COLORS[word] if word else (0.0, 0.0, 0.0) for word in words]).repeat_interleave(views, dim=0)
    tinted = torch.tensor([word is not None for word in words]).repeat_interleave(views).view(-1, 1, 1, 1)
    albedo = torch.where(tinted, recolour(albedo, pieces.luma[rows], rgb), albedo)
    image = shade(albedo, normal, light.repeat_interleave(views, 0), ambient.repeat_interleave(views, 0))
    white = image * alpha + (1 - alpha)
    return (white * 2 - 1).unflatten(0, (len(piece), views))


def jitter_framing(images: torch.Tensor, share: float = 0.5, scale: float = 0.12, shift: float = 0.05) -> torch.Tensor:
    """Zoom and move a `share` of images "B 3 H W" a little, as photos are never framed as renders are; white outside.

    Args:
        scale: largest zoom, as a fraction of the size.
        shift: largest move, as a fraction of the image's half side.
    """
    count = len(images)
    chosen = (torch.rand(count) < share).float()
    zoom = torch.exp((2 * torch.rand(count) - 1) * scale * chosen)
    move = (2 * torch.rand(count, 2) - 1) * shift * chosen[:, None]
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, :, 2] = zoom, zoom, move
    grid = torch.nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(images - 1, grid, mode="bilinear", align_corners=False)
    return torch.where(chosen.view(-1, 1, 1, 1) > 0, moved + 1, images)
