"""The image encoder of the image-and-pose prior: a small CLIP vision tower that learns what is seen, and from where.

CLIP learns from captions; the renders say more. The embedding is trained to tell, linearly, which piece a view shows,
its camera and its mean colour. The heads that read this are thrown away.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from pairs import Pieces, Scenes, draw_scenes, jitter_framing
from training import Schedule, load_checkpoint, save_checkpoint

WIDTH = 128
SIZE = 64
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""Normalisation of its input: images in [-1, 1]."""


@dataclass(frozen=True)
class EncoderSettings:
    """Rates of the encoder's training."""

    scenes: int = 48
    camera_weight: float = 3.0
    color_weight: float = 1.0
    schedule: Schedule = Schedule(peak=1e-3, floor=2e-5, warmup_steps=200)


def build_encoder() -> CLIPVisionModelWithProjection:
    """An untrained tower: 8x8 patches, four layers of 128."""
    config = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=4, num_attention_heads=4,
        image_size=SIZE, patch_size=8, projection_dim=WIDTH,
    )  # fmt: skip
    encoder = CLIPVisionModelWithProjection(config)
    encoder.set_attn_implementation("eager")  # the fused attention's backward takes half the step on a CPU
    return encoder


class Heads(nn.Module):
    """What a linear reader makes of an embedding: scores of the pieces, sine and cosine of the azimuth, elevation
    (radians), distance, mean colour."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.piece, self.camera, self.color = nn.Linear(WIDTH, pieces), nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 3)


def _targets(images: Tensor, camera: Tensor) -> tuple[Tensor, Tensor]:
    azimuth, elevation = torch.deg2rad(camera[:, 0]), torch.deg2rad(camera[:, 1])
    facts = torch.stack([azimuth.sin(), azimuth.cos(), elevation, camera[:, 2] - 3.2], dim=1)
    ink = (1 - images).amax(1, keepdim=True) > 0.05
    return facts, (images * ink).sum((2, 3)) / ink.sum((2, 3)).clamp(min=1)


def loss_of(
    encoder: CLIPVisionModelWithProjection, heads: Heads, scenes: Scenes, settings: EncoderSettings
) -> tuple[Tensor, float]:
    """The loss on the first view of each scene, and the share of pieces told right."""
    images, camera = jitter_framing(scenes.images[:, 0]), scenes.camera[:, 0]
    facts, color = _targets(images, camera)
    with torch.autocast("cpu", torch.bfloat16):
        embedded = encoder(pixel_values=images).image_embeds
    embedded = embedded.float()
    scores = heads.piece(embedded)
    loss = nn.functional.cross_entropy(scores, scenes.piece, label_smoothing=0.1)
    loss = loss + settings.camera_weight * (heads.camera(embedded) - facts).pow(2).mean()
    loss = loss + settings.color_weight * (heads.color(embedded) - color).pow(2).mean()
    return loss, float((scores.argmax(1) == scenes.piece).float().mean())


def train_encoder(
    pieces: Pieces, checkpoint: Path, minutes: float, settings: EncoderSettings
) -> CLIPVisionModelWithProjection:
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
        loss, right = loss_of(encoder, heads, draw_scenes(pieces, settings.scenes, 1, rng), settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        rows.append((float(loss.detach()), right))
        step, used_s = step + 1, used_s + time.thread_time() - start
        if time.monotonic() - shown > 30:
            mean, share = (sum(column) / len(rows) for column in zip(*rows, strict=True))
            speed = settings.scenes * len(rows) / (time.monotonic() - shown)
            row = {"encoder_step": step, "used_s": round(used_s), "loss": round(mean, 4), "right": round(share, 3)}
            print(json.dumps({**row, "images_per_s": round(speed, 1)}), flush=True)
            rows, shown = [], time.monotonic()
            save()
    save()
    return encoder.eval().requires_grad_(False)
