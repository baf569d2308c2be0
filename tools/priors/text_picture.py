"""Teach the text encoder to paint: a caption's last 64 tokens say what its picture is on average, patch by patch.

At the noisiest steps all a denoiser can do is to predict the mean of the pictures a caption may mean, and there it is
decided what a sample shows and from where. A denoiser is slow to learn these means: after three hours what it
predicted from pure noise held half of their variance, and told front from back hardly at all. A text encoder learns
them in ten minutes, from the latents alone; the denoiser's cross attention is shown where they are
(`attention_places.py`), and all it has left to learn is what makes a mean picture a sharp one.

python text_picture.py --renders RUN/renders --vae RUN/vae --prior RUN/export --out RUN/painted
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

import data
from attention_places import PlaceSettings, Scene, forget_values, teach_places
from cameras import near_border, view_word, which_side
from captions import caption
from export import export_prior
from latent_pool import fresh_latents
from objects import THINGS
from text import GRID, PATCHES, WIDTH, build_text_encoder, tokens_of, write_tokenizer
from text_start import pooled
from train_unet import build_scheduler
from training import Schedule, keep_memory_mapped
from warm_start import follow_words, warm_start

WHITE = data.Augmentation(white_background=1.0)
"""No caption names the background, and its colour would be most of the variance."""


@dataclass(frozen=True)
class PictureSettings:
    """Size and rate of the lesson."""

    pictures: int = 20480
    """Pictures whose captions say what they like: colours, other words, words to be ignored."""
    each: int = 160
    """Pictures of each thing that its mean pictures are the means of."""
    steps: int = 6000
    things: int = 6
    views: int = 4
    others: int = 8
    """A step's batch: mean pictures of `things` from `views` sides each, and `others` of the pictures."""
    schedule: Schedule = Schedule(peak=1e-3, floor=2e-5, warmup_steps=100)
    contrast: float = 3.0
    """Weight of how a thing's mean pictures differ from each other, beside that of all pictures."""
    place: float = 0.02
    """Weight of the error of telling a token's place."""
    pooled: float = 1.0
    """Weight of what the pooled text says otherwise than before, as a share of its variance."""


@dataclass(frozen=True)
class Pictures:
    """P latents, their captions, and what the pooled text has to say of those; and mean latents of views of things."""

    latents: Tensor
    """ "P C H W"."""
    captions: list[str]
    pooled: Tensor
    """ "P T"."""
    means: dict[str, dict[str | None, Tensor]]
    """By name and view word, None for any view, "C H W". Free of noise, they teach small differences soonest."""


class Reader(nn.Module):
    """What a token says, read by the same layers at all of them: `values` of its patch, and which patch it is."""

    def __init__(self, values: int):
        super().__init__()
        self.patch, self.place = nn.Linear(WIDTH, values), nn.Linear(WIDTH, PATCHES, bias=False)


def patches(latents: Tensor) -> Tensor:
    """Latents "B C H W" as "B P D": `GRID` by `GRID` patches, row by row, D values each."""
    count, channels, height, width = latents.shape
    high, wide = height // GRID, width // GRID
    split = latents.reshape(count, channels, GRID, high, GRID, wide)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(count, PATCHES, channels * high * wide)


def pooled_now(
    unet: UNet2DConditionModel, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, captions: list[str]
) -> Tensor:
    """What each of `captions` adds to the time embedding, "B T"."""
    unique = list(dict.fromkeys(captions))
    row = {text: index for index, text in enumerate(unique)}
    parts = [unique[start : start + 256] for start in range(0, len(unique), 256)]
    told = torch.cat([pooled(unet, text_encoder, tokenizer, part) for part in parts])
    return told[[row[text] for text in captions]]


def draw_pictures(vae: AutoencoderKL, views: data.Views, count: int, rng: random.Random) -> tuple[Tensor, list[str]]:
    """Latents "count C 16 16", half precision, and captions."""
    latents, captions = [], []
    while len(captions) < count:
        part, words = fresh_latents(vae, views, 64, rng, WHITE)
        latents.append(part.half())
        captions += words
    return torch.cat(latents), captions


def words_of(azimuth_deg: float, elevation_deg: float) -> tuple[str | None, ...]:
    """All that a caption may say of a view: nothing, its word where that is clear, and which side it is."""
    if near_border(azimuth_deg, elevation_deg):
        return (None,)
    word = view_word(azimuth_deg, elevation_deg)
    return (None, word, which_side(azimuth_deg)) if word == "side" else (None, word)


@torch.no_grad()
def mean_pictures(vae: AutoencoderKL, views: data.Views, thing: int, each: int) -> dict[str | None, Tensor]:
    """The mean latents "C 16 16" of `each` views of a thing in its own colours, by view word."""
    rows = torch.nonzero(views.thing == thing)[:, 0]
    rows = rows[torch.randint(0, len(rows), (each,))]
    images, _ = data.compose(views, rows, [None] * each, WHITE)
    latents = vae.encode(images.contiguous(memory_format=torch.channels_last)).latent_dist.mean
    found: dict[str | None, list[Tensor]] = {}
    for row, latent in zip(rows.tolist(), latents * vae.config.scaling_factor, strict=True):
        for word in words_of(float(views.camera[row, 0]), float(views.camera[row, 1])):
            found.setdefault(word, []).append(latent)
    return {word: torch.stack(parts).mean(0) for word, parts in found.items()}


@dataclass(frozen=True)
class Step:
    """What a step of the lesson asks: `means` captions and mean latents of things, then other captions and latents."""

    captions: list[str]
    latents: Tensor
    means: int
    rows: Tensor
    """Of the other pictures."""


def draw_step(pictures: Pictures, settings: PictureSettings, rng: random.Random) -> Step:
    """Some things from some sides each, and some other pictures."""
    captions, latents = [], []
    for name in rng.sample(list(pictures.means), settings.things):
        for word in rng.sample(list(pictures.means[name]), settings.views):
            captions.append(caption(name, None, word))
            latents.append(pictures.means[name][word])
    rows = torch.randint(0, len(pictures.captions), (settings.others,))
    others = pictures.latents[rows].float()
    return Step(
        [*captions, *(pictures.captions[int(row)] for row in rows)], torch.cat([torch.stack(latents), others]),
        len(captions), rows,
    )  # fmt: skip


def contrast(error: Tensor, views: int) -> Tensor:
    """Mean square of what errors "B P D" of groups of `views` differ by within each group."""
    groups = error.unflatten(0, (-1, views))
    return (groups - groups.mean(1, keepdim=True)).pow(2).mean() * views / (views - 1)


def teach_picture(
    unet: UNet2DConditionModel, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer,
    pictures: Pictures, settings: PictureSettings,
) -> list[tuple[float, float, float, float]]:  # fmt: skip
    """Train `text_encoder` to paint, and the pooling of `unet` to go on saying what it said; both in place.

    Returns:
        Of each step, the squared error of the painted latents, that of the differences between views, the cross
        entropy of the places, and the share of the pooled text's variance that it says otherwise.
    """
    reader, rng = Reader(pictures.latents[0].numel() // PATCHES), random.Random(0)
    modules = (text_encoder, unet.add_embedding, reader)
    learned = [parameter for module in modules for parameter in module.requires_grad_(True).parameters()]
    optimiser = torch.optim.AdamW(learned, lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3)
    spread, errors = pictures.pooled.var(), []
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.schedule.rate(step / settings.steps, step)
        asked = draw_step(pictures, settings, rng)
        said = text_encoder(tokens_of(tokenizer, asked.captions)).last_hidden_state
        last = said[:, -PATCHES:]
        error = reader.patch(last) - patches(asked.latents)
        painted, differ = error.pow(2).mean(), contrast(error[: asked.means], settings.views)
        lost = nn.functional.cross_entropy(
            reader.place(last).flatten(0, 1), torch.arange(PATCHES).repeat(len(asked.captions))
        )
        changed = (unet.add_embedding(said[asked.means :]) - pictures.pooled[asked.rows]).pow(2).mean() / spread
        loss = painted + settings.contrast * differ + settings.place * lost + settings.pooled * changed
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        errors.append(tuple(float(part.detach()) for part in (painted, differ, lost, changed)))
        if step % 100 == 99:
            mean = [round(sum(column) / 100, 4) for column in zip(*errors[-100:], strict=True)]
            print(json.dumps({"step": step + 1, "painted, views, places, pooled": mean}), flush=True)
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True, help="the trained and normalised autoencoder")
    parser.add_argument("--prior", type=Path, required=True, help="an exported prior, its pooled text taught")
    parser.add_argument("--out", type=Path, required=True, help="the prior that paints; a start for train_unet.py")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    keep_memory_mapped()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    vae = AutoencoderKL.from_pretrained(args.vae).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    unet = UNet2DConditionModel.from_pretrained(args.prior, subfolder="unet")
    earlier = CLIPTokenizer.from_pretrained(args.prior / "tokenizer")
    before = CLIPTextModel.from_pretrained(args.prior, subfolder="text_encoder", dtype=torch.float32).eval()
    tokenizer = write_tokenizer(args.out.with_name(f"{args.out.name}-tokenizer"))
    text_encoder = build_text_encoder(tokenizer)
    weights = load_file(args.prior / "text_encoder" / "model.safetensors")
    warm_start(text_encoder, follow_words(weights, earlier.get_vocab(), text_encoder, tokenizer.get_vocab()))
    settings, places = PictureSettings(), PlaceSettings()
    views = data.load_views(args.renders)
    latents, captions = draw_pictures(vae, views, settings.pictures, random.Random(0))
    means = {thing.name: mean_pictures(vae, views, index, settings.each) for index, thing in enumerate(THINGS)}
    pictures = Pictures(latents, captions, pooled_now(unet, before, earlier, captions), means)
    teach_picture(unet, text_encoder, tokenizer, pictures, settings)
    forget_values(unet)
    scene = Scene(latents, captions, text_encoder.requires_grad_(False), tokenizer, build_scheduler().alphas_cumprod)
    errors = teach_places(unet, scene, places)
    print(json.dumps({"attention": [round(error, 3) for error in errors[:: max(1, len(errors) // 10)]]}), flush=True)
    export_prior(args.out, vae, unet, text_encoder, tokenizer, build_scheduler(), 0)


if __name__ == "__main__":
    main()
