"""Train the image encoder of the photo prior: which piece a photo shows, and from which side.

tools/priors train-image-encoder --views RUN/views --out RUN/photos --minutes 12

The views are cropped to their objects once and cached; lighting, paint, stretch and shift are augmented at every step.
Elevation and distance of the camera are known exactly elsewhere and not trained.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification

from bozzetto_plugins.priors.photo_recall import SIDES, crop_to_object
from bozzetto_priors.command_line import step_parser
from bozzetto_priors.objects.captions import COLORS
from bozzetto_priors.objects.thing_table import PIECES
from bozzetto_priors.training.memory_and_precision import keep_memory_mapped, mixed_precision
from bozzetto_priors.views.training_views import HELD_OUT_EVERY, LUMA, TONES

SIZE = 64
"""Input side of the encoder, pixels."""
BATCH, RATE = 64, 2e-3
PAINTED = 0.4
"""Share of images with a colour other than the piece's own."""
STRETCH, MOVE = 0.12, 0.05
"""Augmentation range of framing and proportions, as a fraction of the image."""
BRIGHTNESS, TINT = (0.75, 1.2), 0.1


@dataclass(frozen=True)
class Crops:
    """Views of N pieces, V of each, cropped to their objects, as uint8."""

    surface: UInt8[np.ndarray, "N V S S 8"]
    """Albedo (3), opacity, normal (3) mapped from [-1, 1], and paintability; all but opacity times opacity."""
    azimuth_deg: Float[Tensor, "N V"]
    main_luma: Float[Tensor, "N"]


def read_crops(paths: list[Path], kept: Path) -> Crops:
    """Load the crops of all pieces in `paths` from `kept`, creating the file if it does not exist."""
    file, facts = kept.with_suffix(".npy"), kept.with_suffix(".npz")
    if not facts.exists():
        count = min(len(np.load(path)["camera"]) for path in paths)
        surface = np.lib.format.open_memmap(file, "w+", np.uint8, (len(paths), count, SIZE, SIZE, 8))
        azimuth, luma = np.zeros((len(paths), count), "f4"), np.zeros(len(paths), "f4")
        for row, path in enumerate(paths):
            with np.load(path) as arrays:
                surface[row] = crops_of(arrays["albedo"][:count], arrays["normal"][:count])
                azimuth[row], luma[row] = arrays["camera"][:count, 0], arrays["main_luma"]
        surface.flush()
        np.savez(facts, azimuth=azimuth, luma=luma)
    with np.load(facts) as arrays:
        azimuth_and_luma = [torch.from_numpy(arrays[name]) for name in ("azimuth", "luma")]
    return Crops(np.load(file, mmap_mode="r"), *azimuth_and_luma)


def crops_of(albedo: UInt8[np.ndarray, "V H W 4"], normal: UInt8[np.ndarray, "V H W 4"]) -> np.ndarray:
    """Compute `Crops.surface` of one piece."""
    planes = torch.cat([torch.from_numpy(each).float() / 255.0 for each in (albedo, normal)], dim=-1)
    opacity = planes[..., 3:4]
    planes = torch.cat([planes[..., :3] * opacity, opacity, planes[..., 4:] * opacity], dim=-1)
    cropped = crop_to_object(planes.permute(0, 3, 1, 2), opacity.permute(0, 3, 1, 2), SIZE)
    return (255.0 * cropped.permute(0, 2, 3, 1)).round().to(torch.uint8).numpy()


def draw_pictures(
    surface: Float[Tensor, "B S S 8"], main_luma: Float[Tensor, "B"], generator: torch.Generator
) -> Float[Tensor, "B 3 S S"]:
    """Augment crops to images over white in [-1, 1]: random light, random colour, small stretch and shift."""
    count = len(surface)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    albedo, opacity, normal, takes = surface.split([3, 1, 3, 1], dim=-1)
    towards = torch.randn(count, 3, generator=generator)
    towards[:, 2] = towards[:, 2].abs() + 0.2
    light = nn.functional.normalize(towards, dim=1)[:, None, None]
    ambient = uniform(0.5, 0.9, 1, 1, 1)
    lit = ambient + (1.0 - ambient) * ((2.0 * normal - opacity) * light).sum(-1, keepdim=True).clamp(min=0.0)
    palette = torch.tensor(list(COLORS.values()))
    paint = palette[torch.randint(len(palette), (count,), generator=generator)] + uniform(-0.1, 0.1, 3)
    put = (torch.rand(count, generator=generator) < PAINTED).float()[:, None, None, None]
    tone = ((albedo @ torch.tensor(LUMA) + 0.1) / (main_luma[:, None, None] + 0.1)).clamp(*TONES)[..., None]
    share = put * takes / opacity.clamp(min=1e-3)
    colour = torch.lerp(albedo, tone * paint.clamp(0.0, 1.0)[:, None, None] * opacity, share.clamp(0.0, 1.0))
    gain = uniform(*BRIGHTNESS, 1, 1, 1) * uniform(1.0 - TINT, 1.0 + TINT, 1, 1, 3)
    shown = torch.cat([(colour * lit * gain).minimum(opacity), opacity], dim=-1).permute(0, 3, 1, 2)
    scale, move = torch.exp(uniform(-STRETCH, STRETCH, 2)), uniform(-MOVE, MOVE, 2)
    affine = torch.cat([torch.diag_embed(scale), 2.0 * move[..., None]], dim=-1)
    grid = nn.functional.affine_grid(affine, list(shown.shape), align_corners=False)
    moved = nn.functional.grid_sample(shown, grid, align_corners=False)
    return 2.0 * (moved[:, :3] + 1.0 - moved[:, 3:]) - 1.0


def build_encoder(things: int) -> ResNetForImageClassification:
    """Build an untrained network with a score for every side of every thing."""
    config = ResNetConfig(  # type: ignore[call-arg]  # the base class keeps the last three
        embedding_size=32, hidden_sizes=[32, 64, 128, 256], depths=[1, 1, 1, 1], layer_type="basic",
        num_labels=things * SIDES, image_size=SIZE, projection_dim=things * SIDES,
    )  # fmt: skip
    return ResNetForImageClassification(config)


def loss_of(
    logits: Float[Tensor, "B L"], thing: Int[Tensor, "B"], azimuth_deg: Float[Tensor, "B"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss; and per image whether the thing is correct, and the side up to a neighbour."""
    scores = logits.unflatten(1, (-1, SIDES))
    of_thing = scores.logsumexp(dim=2)
    place = azimuth_deg / (360.0 / SIDES)
    low, share = place.floor().long(), (place - place.floor())[:, None]
    mine = scores[torch.arange(len(thing)), thing]
    sides = mine.log_softmax(dim=1)
    near, next_one = (sides.gather(1, (at % SIDES)[:, None]) for at in (low, low + 1))
    loss = nn.functional.cross_entropy(of_thing, thing, label_smoothing=0.05)
    loss = loss - 0.5 * ((1.0 - share) * near + share * next_one).mean()
    off = (mine.argmax(dim=1) - low) % SIDES
    return loss, of_thing.argmax(dim=1) == thing, (off <= 2) | (off == SIDES - 1)


@torch.no_grad()
def held_out_scores(
    encoder: ResNetForImageClassification, crops: Crops, generator: torch.Generator
) -> dict[str, float]:
    """Return the accuracies on the held-out views."""
    encoder.eval()
    rights, sides = [], []
    for view in range(HELD_OUT_EVERY // 2, crops.surface.shape[1], HELD_OUT_EVERY):
        surface = torch.from_numpy(crops.surface[:, view].astype("f4")) / 255.0
        logits = encoder(pixel_values=draw_pictures(surface, crops.main_luma, generator)).logits
        _, right, side = loss_of(logits, torch.arange(len(logits)), crops.azimuth_deg[:, view])
        rights.append(right)
        sides.append(side)
    encoder.train()
    return {
        name: round(float(torch.cat(each).float().mean()), 3) for name, each in (("thing", rights), ("side", sides))
    }


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("train-image-encoder", __doc__)
    parser.add_argument("--views", type=Path, required=True, help="made by render-views")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12.0)
    args = parser.parse_args(arguments)
    keep_memory_mapped()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    stems = [piece.key.replace("/", "__") for piece in PIECES.values()]
    paths = [path for path in (args.views / f"{stem}.npz" for stem in stems) if path.exists()]
    listed = args.out / "pieces.json"
    if listed.exists():
        paths = [args.views / f"{stem}.npz" for stem in json.loads(listed.read_text(encoding="utf-8"))]
    else:
        listed.write_text(json.dumps([path.stem for path in paths]), encoding="utf-8")
    crops = read_crops(paths, args.out / "crops")
    train(crops, args.out / "encoder", args.minutes)


def train(crops: Crops, folder: Path, minutes: float) -> None:
    """Train the encoder on all crops except the held-out ones, and write it."""
    generator = torch.Generator().manual_seed(0)
    encoder = build_encoder(len(crops.surface))
    adam = torch.optim.AdamW(encoder.parameters(), RATE, betas=(0.9, 0.99), weight_decay=0.02)
    views = [v for v in range(crops.surface.shape[1]) if v % HELD_OUT_EVERY != HELD_OUT_EVERY // 2]
    start, step, done, shares = time.thread_time(), 0, 0.0, []  # processor time, without waiting
    while done < 1.0:
        done = min(1.0, (time.thread_time() - start) / (60.0 * minutes))
        for group in adam.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 100) * (0.01 + 0.99 * (1.0 - done))
        thing = torch.randint(len(crops.surface), (BATCH,), generator=generator)
        view = torch.tensor(views)[torch.randint(len(views), (BATCH,), generator=generator)]
        surface = torch.from_numpy(crops.surface[thing.numpy(), view.numpy()].astype("f4")) / 255.0
        pictures = draw_pictures(surface, crops.main_luma[thing], generator)
        with mixed_precision():
            logits = encoder(pixel_values=pictures).logits
        loss, *right = loss_of(logits.float(), thing, crops.azimuth_deg[thing, view])
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        adam.step()
        step += 1
        shares.append([float(loss.detach()), *(float(each.float().mean()) for each in right)])
        if step % 100 == 0 or done >= 1.0:
            loss_mean, thing_mean, side_mean = np.mean(shares, axis=0).round(3).tolist()
            told = {"step": step, "loss": loss_mean, "thing": thing_mean, "side": side_mean}
            print(json.dumps(told | {"minutes": round(done * minutes, 1)}), flush=True)
            shares = []
    print(json.dumps({"held_out": held_out_scores(encoder, crops, generator)}), flush=True)
    encoder.eval().save_pretrained(folder)
