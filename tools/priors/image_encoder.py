"""The image encoder of the image-and-pose prior: a small residual network that learns what is seen, and from where.

CLIP learns from captions; the renders say more. The embedding is trained to tell, linearly, which piece a view shows,
its camera and its mean colour. The heads that read this are thrown away. A vision transformer of the same cost was at
the azimuth error of a guess when this network had halved it: 130 000 pictures are too few for it.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification

from pairs import Pieces, Scenes, draw_scenes, jitter_framing
from training import Schedule, load_checkpoint, mixed_precision, save_checkpoint

WIDTH = 128
SIZE = 64
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""Normalisation of its input: images in [-1, 1]."""


@dataclass(frozen=True)
class EncoderSettings:
    """Rates of the encoder's training."""

    scenes: int = 64
    piece_weight: float = 0.3
    azimuth_weight: float = 3.0
    schedule: Schedule = Schedule(peak=2e-3, floor=2e-5, warmup_steps=100)


def build_encoder() -> ResNetForImageClassification:
    """An untrained network whose logits are the embedding: four stages of one block."""
    config = ResNetConfig(
        embedding_size=32, hidden_sizes=[32, 64, 128, 192], depths=[1, 1, 1, 1], layer_type="basic",
        num_labels=WIDTH, image_size=SIZE, projection_dim=WIDTH,
    )  # fmt: skip
    return ResNetForImageClassification(config)


class Heads(nn.Module):
    """What a linear reader makes of an embedding: scores of the N pieces; sine and cosine of the azimuth, once for
    each piece and once for all; elevation (radians) and distance; mean colour."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.piece, self.azimuth = nn.Linear(WIDTH, pieces), nn.Linear(WIDTH, 2 * pieces)
        self.turn, self.height, self.color = nn.Linear(WIDTH, 2), nn.Linear(WIDTH, 2), nn.Linear(WIDTH, 3)

    def azimuth_of(self, embedded: Tensor, piece: Tensor) -> Tensor:
        """Sine and cosine "B 2", read by the heads of `piece` "B"."""
        return self.azimuth(embedded).unflatten(1, (-1, 2))[torch.arange(len(piece)), piece]


def targets_of(camera: Tensor) -> tuple[Tensor, Tensor]:
    """What is to be read of cameras "B 3" (degrees, distance): sine and cosine of the azimuth "B 2"; elevation in
    radians and distance from the usual one "B 2"."""
    azimuth, elevation = torch.deg2rad(camera[:, 0]), torch.deg2rad(camera[:, 1])
    return torch.stack([azimuth.sin(), azimuth.cos()], 1), torch.stack([elevation, camera[:, 2] - 3.2], 1)


def mean_color(images: Tensor) -> Tensor:
    """Of what is not white in "B 3 H W", in [-1, 1]: "B 3"."""
    ink = (1 - images).amax(1, keepdim=True) > 0.05
    return (images * ink).sum((2, 3)) / ink.sum((2, 3)).clamp(min=1)


def loss_of(
    encoder: ResNetForImageClassification, heads: Heads, scenes: Scenes, settings: EncoderSettings
) -> tuple[Tensor, dict[str, float]]:
    """The loss on the first view of each scene; the share of pieces told right, and the azimuth's squared error."""
    images, camera = jitter_framing(scenes.images[:, 0]), scenes.camera[:, 0]
    (azimuth, height), color = targets_of(camera), mean_color(images)
    with mixed_precision():
        embedded = encoder(pixel_values=images).logits
    embedded = embedded.float()
    scores = heads.piece(embedded)
    turned = (heads.azimuth_of(embedded, scenes.piece) - azimuth).pow(2).mean()
    loss = settings.piece_weight * nn.functional.cross_entropy(scores, scenes.piece, label_smoothing=0.05)
    loss = loss + settings.azimuth_weight * turned + (heads.turn(embedded) - azimuth).pow(2).mean()
    loss = loss + (heads.height(embedded) - height).pow(2).mean() + (heads.color(embedded) - color).pow(2).mean()
    right = (scores.argmax(1) == scenes.piece).float().mean()
    return loss, {"right": float(right), "azimuth_error": float(turned.detach())}


def train_encoder(
    pieces: Pieces, checkpoint: Path, minutes: float, settings: EncoderSettings
) -> ResNetForImageClassification:
    """The trained and frozen encoder; goes on from `checkpoint`, and is done when it has used `minutes`."""
    encoder, heads = build_encoder(), Heads(len(pieces))
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.02, fused=True)
    step, used_s = 0, 0.0
    state = load_checkpoint(checkpoint)
    if state is not None:
        encoder.load_state_dict(state["encoder"])
        heads.load_state_dict(state["heads"])
        optimiser.load_state_dict(state["optimiser"])
        step, used_s = state["step"], state["used"]

    def save() -> None:
        parts = {"encoder": encoder.state_dict(), "heads": heads.state_dict(), "optimiser": optimiser.state_dict()}
        save_checkpoint(checkpoint, {**parts, "step": step, "used": used_s})

    rng, rows, shown = random.Random(step), [], time.monotonic()
    while used_s < minutes * 60:
        start = time.thread_time()  # time on the processor: waiting for one is no training
        for group in optimiser.param_groups:
            group["lr"] = settings.schedule.rate(used_s / (minutes * 60), step)
        loss, told = loss_of(encoder, heads, draw_scenes(pieces, settings.scenes, 1, rng), settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        rows.append({"loss": float(loss.detach()), **told})
        step, used_s = step + 1, used_s + time.thread_time() - start
        if time.monotonic() - shown > 30:
            means = {name: round(sum(row[name] for row in rows) / len(rows), 4) for name in rows[0]}
            speed = settings.scenes * len(rows) / (time.monotonic() - shown)
            row = {"encoder_step": step, "used_s": round(used_s), **means, "images_per_s": round(speed, 1)}
            print(json.dumps(row), flush=True)
            rows, shown = [], time.monotonic()
            save()
    save()
    return encoder.eval().requires_grad_(False)
