"""Teach the photo prior's token where the wanted view is, before its denoiser is trained.

What is seen after a turn depends on the photo's azimuth and the turn together; each alone says nothing. Through a
denoiser's loss that was not found in an hour; told directly it takes half a minute.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import ResNetForImageClassification

from bozzetto.math.relative_pose import relative_pose
from bozzetto_plugins.guidance.image_embedding import load_projection
from export_zero123 import POSES, PROJECTION
from image_encoder import targets_of
from pairs import Pieces, draw_scenes, jitter_framing


@dataclass(frozen=True)
class TokenSettings:
    """Size and rate of the lesson."""

    pairs: int = 24576
    scenes: int = 64
    targets: int = 4
    steps: int = 3000
    batch: int = 512
    rate: float = 2e-3
    harmonics: tuple[int, ...] = (1, 2, 3)
    gain: float = 4.0
    """Length of what one unit of a fact adds: it has to stand beside the time embedding, which is ten times as long as
    the azimuth when the lesson leaves it as small as it likes, and then the denoiser is slow to take notice."""


@dataclass(frozen=True)
class Turns:
    """P photos, turns, and where they lead."""

    told: Tensor
    """ "P E+4", the embedding of the photo and the relative pose."""
    azimuth: Tensor
    """ "P 2", sine and cosine of the target's azimuth."""
    height: Tensor
    """ "P 2", elevation (radians) and distance."""
    piece: Tensor


def facts_of(turns: Turns, harmonics: tuple[int, ...]) -> Tensor:
    """What the token is to tell of the target's camera, "P F": sines and cosines of multiples of its azimuth, then
    elevation and distance, standardised."""
    sine, cosine = turns.azimuth.unbind(1)
    azimuth = torch.atan2(sine, cosine)
    waves = [wave(k * azimuth) for k in harmonics for wave in (torch.sin, torch.cos)]
    height = (turns.height - turns.height.mean(0)) / turns.height.std(0).clamp(min=1e-6)
    return torch.cat([torch.stack(waves, 1), height], 1)


def start_projection(folder: Path, width: int) -> nn.Linear:
    """The layer that makes the token: that of an earlier image-and-pose prior, or an untrained one."""
    if (folder / PROJECTION).is_dir():
        return load_projection(folder, torch.device("cpu")).requires_grad_(True)
    return nn.Linear(width + POSES, width)


@torch.no_grad()
def draw_turns(
    pieces: Pieces, encoder: ResNetForImageClassification, settings: TokenSettings, rng: random.Random
) -> Turns:
    """Random pairs of views of one piece each."""
    told, azimuths, heights, rows = [], [], [], []
    for _ in range(settings.pairs // (settings.scenes * settings.targets)):
        scenes = draw_scenes(pieces, settings.scenes, 1 + settings.targets, rng)
        embedded = encoder(pixel_values=jitter_framing(scenes.images[:, 0])).logits
        for target in range(1, 1 + settings.targets):
            camera = scenes.camera[:, target]
            told.append(torch.cat([embedded, relative_pose(camera, scenes.camera[:, 0])], dim=1))
            azimuth, height = targets_of(camera)
            azimuths.append(azimuth)
            heights.append(height)
            rows.append(scenes.piece)
    return Turns(torch.cat(told), torch.cat(azimuths), torch.cat(heights), torch.cat(rows))


def teach_token(
    unet: UNet2DConditionModel, projection: nn.Linear, turns: Turns, pieces: int, settings: TokenSettings
) -> list[float]:
    """Train `projection` and the class embedding of `unet`, in place, to tell the target's camera and the piece.

    The camera is written into directions of what is added to the time embedding, drawn once and orthogonal, `gain`
    long; the piece wherever a linear reader finds it.

    Returns:
        The camera's squared error of each step, summed over sines and cosines.
    """
    added, facts = unet.class_embedding, facts_of(turns, settings.harmonics)
    width = added.linear_2.out_features
    directions = torch.linalg.qr(torch.randn(width, facts.shape[1])).Q / settings.gain
    names = nn.Linear(width, pieces)
    parameters, errors = [*projection.parameters(), *added.parameters(), *names.parameters()], []
    optimiser = torch.optim.AdamW(parameters, lr=settings.rate)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    for _ in range(settings.steps):
        rows = torch.randint(0, len(turns.told), (settings.batch,))
        told = added(projection(turns.told[rows]))
        error = (told @ directions - facts[rows]).pow(2).sum(1).mean()
        optimiser.zero_grad(set_to_none=True)
        (error + nn.functional.cross_entropy(names(told), turns.piece[rows])).backward()
        optimiser.step()
        slower.step()
        errors.append(float(error.detach()))
    return errors
