"""Measure an image-and-pose prior on views that no training has seen (`unseen_views.py` renders them).

Per piece: PSNR and distance of embeddings of generated views, of the prior's expectation, of copying the reference and
of the mean image; how often a view from 30, 90 or 180 degrees aside is nearer to the truth than to what the other side
looks like; and how far off the elevation is that the prior estimates for a photo.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, vmap

from bozzetto.math.image_similarity import psnr_db
from bozzetto.math.relative_pose import relative_pose
from bozzetto_plugins.guidance.config import Zero123Config
from bozzetto_plugins.guidance.distillation import denoise, normal_noise
from bozzetto_plugins.guidance.zero123 import Zero123
from bozzetto_plugins.guidance.zero123_elevation import CANDIDATES_DEG, estimate_elevation_deg
from bozzetto_plugins.guidance.zero123_views import EncodedReference, Views
from pairs import Pieces, load_pieces, rendered_keys, shade_views

LIGHT, AMBIENT = (0.5, 0.2, 0.84), 0.6
TURNS_DEG = (30, 90, 180)
ALIKE_DB = 25.0
"""A piece whose two sides are as like as this says nothing about which is which."""
HIGHEST_REFERENCE_DEG = 45.0
FOV_DEG = 40.0
GUESS_DEG = 20.0
"""An elevation that takes no estimate, to compare with."""


@dataclass(frozen=True)
class Sampling:
    """How views are generated. More steps or guidance make them crisper, and further from the truth in PSNR."""

    steps: int = 4
    scale: float = 2.0
    seed: int = 0


EXPECTATION = Sampling(steps=1, scale=1.0)
"""One step from noise alone gives the mean of all views the prior deems possible."""


def lit(pieces: Pieces, row: int) -> Tensor:
    """All views "V 3 H W" in [0, 1] of a piece under one light, over white."""
    views = torch.arange(pieces.camera.shape[1])[None]
    light, ambient = torch.nn.functional.normalize(torch.tensor([LIGHT]), dim=1), torch.tensor([AMBIENT])
    return 0.5 * shade_views(pieces, torch.tensor([row]), views, [None], light, ambient)[0] + 0.5


def encode(prior: Zero123, images: Tensor, camera: Tensor) -> list[EncodedReference]:
    """What the prior is told of each of B images "B 3 H W" in [0, 1]."""
    latents = prior.denoiser.encode(images, None) / prior.denoiser.vae.config.scaling_factor
    embeddings, nowhere = prior.embedding.encode(images), torch.ones(1, 3)
    return [
        EncodedReference(latents[i : i + 1], embeddings[i : i + 1], camera[i : i + 1], nowhere)
        for i in range(len(images))
    ]


@torch.no_grad()
def generate(prior: Zero123, photos: Sequence[EncodedReference], target: Tensor, sampling: Sampling) -> Tensor:
    """The view from `target` "B 3" of each photo, "B 3 H W" in [0, 1]."""
    noise = normal_noise(torch.cat([photo.latents for photo in photos]), torch.Generator().manual_seed(sampling.seed))
    last, made = torch.tensor([prior.denoiser.train_steps - 1]), []
    for photo, camera, start in zip(photos, target, noise, strict=True):
        pose = relative_pose(camera[None], photo.camera, prior.convention)
        views = Views(prior.tokens(photo, pose)[None], torch.ones(1, 1))
        predict = partial(prior.predict, photos=(photo,), views=views, scale=sampling.scale)
        made.append(denoise(prior.denoiser, predict, start[None], last, sampling.steps))
    return prior.denoiser.decode(torch.cat(made))


def feature_distance(prior: Zero123, a: Tensor, b: Tensor) -> Tensor:
    """1 - cosine of the embeddings of each image."""
    return 1.0 - torch.nn.functional.cosine_similarity(prior.embedding.encode(a), prior.embedding.encode(b))


def choose_references(camera: Tensor, rng: random.Random) -> list[int]:
    """For each view another one, not from high above."""
    low = [i for i, elevation in enumerate(camera[:, 1].tolist()) if elevation <= HIGHEST_REFERENCE_DEG]
    return [rng.choice([i for i in low if i != target]) for target in range(len(camera))]


def unseen_views(prior: Zero123, pieces: Pieces, mean: Tensor, sampling: Sampling) -> list[dict[str, object]]:
    """A row per piece."""
    rows, rng = [], random.Random(0)
    for row, key in enumerate(pieces.keys):
        images, camera = lit(pieces, row), pieces.camera[row]
        chosen = choose_references(camera, rng)
        photos = encode(prior, images[chosen], camera[chosen])
        made, expected = (generate(prior, photos, camera, how) for how in (sampling, EXPECTATION))
        guesses = {"prior": made, "expected": expected, "copy": images[chosen], "mean": mean.expand_as(images)}
        numbers = {f"{name}_db": float(vmap(psnr_db)(guess, images).mean()) for name, guess in guesses.items()}
        numbers |= {f"{name}_distance": float(feature_distance(prior, g, images).mean()) for name, g in guesses.items()}
        rows.append({"piece": key, **{name: round(value, 3) for name, value in numbers.items()}})
    return rows


def sides(prior: Zero123, ring: Pieces, sampling: Sampling) -> dict[str, dict[str, float]]:
    """By turn: the share of generated views nearer to the truth than to the opposite turn (180: than to none)."""
    found: dict[str, dict[str, float]] = {}
    count = ring.camera.shape[1]
    for turn in TURNS_DEG:
        right, total = 0, 0
        for row in range(len(ring)):
            images, camera = lit(ring, row), ring.camera[row]
            start, shift = torch.arange(count), round(turn * count / 360)
            true, other = (start + shift) % count, (start - shift) % count if turn != 180 else start
            tells = vmap(psnr_db)(images[true], images[other]) < ALIKE_DB
            if not tells.any():
                continue
            photos = encode(prior, images[tells], camera[tells])
            made = generate(prior, photos, camera[true[tells]], sampling)
            nearer = vmap(psnr_db)(made, images[true[tells]]) > vmap(psnr_db)(made, images[other[tells]])
            right, total = right + int(nearer.sum()), total + len(nearer)
        found[str(turn)] = {"right": round(right / max(total, 1), 3), "views": total}
    return found


def elevations(prior: Zero123, pieces: Pieces, each: int = 4) -> dict[str, float]:
    """How far the estimated elevation is off, degrees, over the first views of each piece that a photo may be."""
    off, off_guess = [], []
    fov = torch.tensor([math.radians(FOV_DEG)])
    for row in range(len(pieces)):
        images, camera = lit(pieces, row), pieces.camera[row]
        chosen = (camera[:, 1] <= CANDIDATES_DEG[-1]).nonzero()[:each, 0]
        with torch.no_grad():
            photos = encode(prior, images[chosen], camera[chosen])
        for photo in photos:
            true = float(photo.camera[0, 1])
            found = estimate_elevation_deg(prior, photo, fov, torch.Generator().manual_seed(0))
            off.append(abs(found - true))
            off_guess.append(abs(GUESS_DEG - true))
    count = len(off)
    return {"views": count, "off_deg": round(sum(off) / count, 1), "guess_off_deg": round(sum(off_guess) / count, 1)}


def mean_image(renders: Path, every: int = 7) -> Tensor:
    """Of the training views, "3 H W" in [0, 1]."""
    total, count = torch.zeros(3, 64, 64), 0
    for key in rendered_keys(renders)[::2]:
        images = lit(load_pieces(renders, (key,)), 0)[::every]
        total, count = total + images.sum(0), count + len(images)
    return total / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prior", type=Path)
    parser.add_argument("--unseen", type=Path, required=True, help="folder made by unseen_views.py")
    parser.add_argument("--renders", type=Path, required=True, help="the training's renders, for the mean image")
    parser.add_argument("--steps", type=int, default=Sampling.steps)
    parser.add_argument("--scale", type=float, default=Sampling.scale)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    prior = Zero123(Zero123Config(model=str(args.prior), dtype="float32"), args.prior, torch.device("cpu"))
    sampling, mean = Sampling(args.steps, args.scale), mean_image(args.renders)
    random_views = load_pieces(args.unseen / "random", rendered_keys(args.unseen / "random"), every=None)
    rows = unseen_views(prior, random_views, mean, sampling)
    card = json.loads((args.prior / "bozzetto.json").read_text(encoding="utf-8"))
    result: dict[str, object] = {"pieces": rows}
    for name, kept in (("known", lambda k: k in card["pieces"]), ("unknown", lambda k: k not in card["pieces"])):
        group = [row for row in rows if kept(row["piece"])]
        numbers = [key for key in (group[0] if group else {}) if key != "piece"]
        result[name] = {key: round(sum(row[key] for row in group) / len(group), 3) for key in numbers}
        keys = tuple(row["piece"] for row in group)
        if keys:
            ring = load_pieces(args.unseen / "ring", keys, every=None)
            result[f"{name}_sides"] = sides(prior, ring, sampling)
            result[f"{name}_elevation"] = elevations(prior, load_pieces(args.unseen / "random", keys, every=None))
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
