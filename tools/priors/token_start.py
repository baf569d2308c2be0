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
    steps: int = 1500
    batch: int = 256
    rate: float = 1e-3


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


class Readers(nn.Module):
    """What a linear reader makes of the vector "B T" that is added to the time embedding."""

    def __init__(self, width: int, pieces: int) -> None:
        super().__init__()
        self.azimuth, self.height, self.piece = nn.Linear(width, 2), nn.Linear(width, 2), nn.Linear(width, pieces)

    def errors(self, added: Tensor, turns: Turns, rows: Tensor) -> Tensor:
        """Squared errors of azimuth, elevation and distance, and a tenth of the pieces' cross entropy."""
        error = (self.azimuth(added) - turns.azimuth[rows]).pow(2).mean()
        error = error + (self.height(added) - turns.height[rows]).pow(2).mean()
        return error + 0.1 * nn.functional.cross_entropy(self.piece(added), turns.piece[rows])


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

    Returns:
        The error of each step.
    """
    added = unet.class_embedding
    readers = Readers(added.linear_2.out_features, pieces)
    parameters = [*projection.parameters(), *added.parameters(), *readers.parameters()]
    optimiser, errors = torch.optim.AdamW(parameters, lr=settings.rate), []
    for _ in range(settings.steps):
        rows = torch.randint(0, len(turns.told), (settings.batch,))
        error = readers.errors(added(projection(turns.told[rows])), turns, rows)
        optimiser.zero_grad(set_to_none=True)
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    return errors
