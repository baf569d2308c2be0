"""Training images made from rendered views: shading, recolouring, backgrounds, captions."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from captions import COLORS, draw_caption
from objects import THINGS

LUMA = (0.299, 0.587, 0.114)
RECOLOURED = 0.3
"""Share of the samples that are painted in a colour that the caption names."""


@dataclass(frozen=True)
class Augmentation:
    """Shares (0..1) of how training images vary."""

    plain_albedo: float = 0.3
    white_background: float = 0.65
    grey_background: float = 0.2
    min_ambient: float = 0.3


@dataclass(frozen=True)
class Views:
    """All views in memory, uint8 channel-first: `albedo`, `normal` [N, 3, S, S], `alpha` [N, 1, S, S].

    `camera` [N, 3] holds azimuth and elevation in degrees and distance; `eye` [N, 3] the camera's
    place in the world; `luma` [N] the mean luminance (0..1) of the whole piece a view shows;
    `thing` [N] indexes `objects.THINGS`; `weight` [N] is the chance of a view to be drawn.
    """

    albedo: torch.Tensor
    normal: torch.Tensor
    alpha: torch.Tensor
    camera: torch.Tensor
    eye: torch.Tensor
    luma: torch.Tensor
    thing: torch.Tensor
    weight: torch.Tensor


def load_views(folder: Path, held_out: bool = False, every: int = 24) -> Views:
    """Read all rendered pieces; every 24th view of each is held out of training."""
    columns: dict[str, list[np.ndarray]] = {
        k: [] for k in ("albedo", "normal", "alpha", "camera", "luma", "thing", "weight")
    }
    for index, thing in enumerate(THINGS):
        for key in thing.keys:
            with np.load(folder / f"{key.replace('/', '__')}.npz") as arrays:
                count = len(arrays["camera"])
                pick = (np.arange(count) % every == every // 2) == held_out
                albedo, alpha = arrays["albedo"], arrays["alpha"]
                cover = alpha.astype("f4")
                luma = (albedo.astype("f4") @ np.asarray(LUMA, "f4") * cover).sum() / cover.sum() / 255.0
                columns["albedo"].append(albedo[pick].transpose(0, 3, 1, 2))
                columns["normal"].append(arrays["normal"][pick].transpose(0, 3, 1, 2))
                columns["alpha"].append(alpha[pick][:, None])
                columns["camera"].append(arrays["camera"][pick])
                n = int(pick.sum())
                columns["luma"].append(np.full(n, luma, "f4"))
                columns["thing"].append(np.full(n, index))
                columns["weight"].append(np.full(n, 1.0 / len(thing.keys) / n, "f4"))
    joined = {k: torch.from_numpy(np.ascontiguousarray(np.concatenate(v))) for k, v in columns.items()}
    a, e = torch.deg2rad(joined["camera"][:, 0]), torch.deg2rad(joined["camera"][:, 1])
    eye = torch.stack([e.cos() * a.cos(), e.cos() * a.sin(), e.sin()], 1) * joined["camera"][:, 2:]
    return Views(eye=eye, **joined)


def more_from_above(views: Views, elevation_deg: float, times: float) -> Views:
    """The same views, those from above `elevation_deg` drawn so many `times` as often."""
    above = views.camera[:, 1] > elevation_deg
    return replace(views, weight=views.weight * torch.where(above, times, 1.0))


def recolour(albedo: torch.Tensor, luma: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
    """Luminance of `albedo` [B, 3, S, S] (0..1) times `rgb` [B, 3].

    Luminance is taken relative to `luma` [B], the piece's mean, so dark pieces become bright
    enough to show the colour; the relative brightness stays within 0.35..1.15.
    """
    weights = torch.tensor(LUMA, dtype=albedo.dtype).view(1, 3, 1, 1)
    grey = (albedo * weights).sum(1, keepdim=True)
    relative = (grey + 0.1) / (luma.view(-1, 1, 1, 1) + 0.1)
    tone = (0.35 + 0.65 * relative).clamp(0.35, 1.15)
    return (tone * rgb.view(-1, 3, 1, 1)).clamp(0, 1)


def shade(albedo: torch.Tensor, normal: torch.Tensor, light: torch.Tensor, ambient: torch.Tensor) -> torch.Tensor:
    """albedo * (ambient + (1 - ambient) * max(0, n.l)); `light` [B, 3] unit, `ambient` [B]."""
    diffuse = (normal * light.view(-1, 3, 1, 1)).sum(1, keepdim=True).clamp(min=0)
    level = ambient.view(-1, 1, 1, 1)
    return albedo * (level + (1 - level) * diffuse)


def draw_backgrounds(count: int, aug: Augmentation) -> torch.Tensor:
    """Solid colours [B, 3] in 0..1: white, greys, or any colour."""
    colour = torch.rand(count, 3)
    kind = torch.rand(count, 1)
    colour = torch.where(kind < aug.white_background + aug.grey_background, colour[:, :1].expand(-1, 3), colour)
    return torch.where(kind < aug.white_background, torch.ones(count, 3), colour)


def draw_colors(things: torch.Tensor, rng: random.Random) -> list[str | None]:
    """A colour word for three of ten samples."""
    words = list(COLORS)
    return [rng.choice(words) if rng.random() < RECOLOURED else None for _ in things]


def compose(
    views: Views, index: torch.Tensor, colors: list[str | None], aug: Augmentation
) -> tuple[torch.Tensor, torch.Tensor]:
    """Augmented images [B, 3, S, S] in [-1, 1] of the views `index` [B], and their alpha."""
    count = len(index)
    albedo = views.albedo[index].float() / 255.0
    alpha = views.alpha[index].float() / 255.0
    normal = views.normal[index].float() / 127.5 - 1.0
    rgb = torch.tensor([COLORS[c] if c else (0.0, 0.0, 0.0) for c in colors])
    tinted = torch.tensor([c is not None for c in colors]).view(-1, 1, 1, 1)
    albedo = torch.where(tinted, recolour(albedo, views.luma[index], rgb), albedo)
    light = torch.nn.functional.normalize(views.eye[index] + torch.randn(count, 3), dim=1)
    ambient = aug.min_ambient + (1 - aug.min_ambient) * torch.rand(count)
    ambient = torch.where(torch.rand(count) < aug.plain_albedo, torch.ones(count), ambient)
    image = shade(albedo, normal, light, ambient)
    background = draw_backgrounds(count, aug).view(-1, 3, 1, 1)
    return (image * alpha + background * (1 - alpha)) * 2 - 1, alpha


def draw_batch(
    views: Views, count: int, rng: random.Random, aug: Augmentation
) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Images [B, 3, S, S] in [-1, 1], alpha [B, 1, S, S] in [0, 1] and captions of `count` drawn views."""
    index = torch.multinomial(views.weight, count, replacement=True)
    colors = draw_colors(views.thing[index], rng)
    images, alpha = compose(views, index, colors, aug)
    words = [
        draw_caption(rng, THINGS[int(views.thing[i])].name, color, float(views.camera[i, 0]), float(views.camera[i, 1]))
        for i, color in zip(index.tolist(), colors, strict=True)
    ]
    return images, alpha, words
