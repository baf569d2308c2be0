"""Teach the denoiser's draft what captions look like on average, before the denoiser is trained.

At the noisiest steps all a denoiser can do is to predict the mean of the pictures a caption may mean, and there it is
decided what a sample shows and from where. Left to the denoiser's loss, these means are learned slowly and small
differences last: after three hours what was predicted from pure noise held half of their variance, and told front from
back hardly at all. A perceptron from the pooled text to the latents learns them in minutes (`DraftUNet`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

import data
from bozzetto_plugins.guidance.draft_unet import LAST_STEP, LEVELS, DraftUNet
from cameras import near_border, view_word, which_side
from captions import caption
from latent_pool import WHITE, fresh_latents
from objects import THINGS
from text_start import pooled
from training import Schedule


@dataclass(frozen=True)
class DraftSettings:
    """Size and rate of the lesson."""

    pictures: int = 24576
    """Pictures whose captions say what they like: colours, other words, words to be ignored."""
    each: int = 160
    """Pictures of each thing that its mean pictures are the means of."""
    steps: int = 4000
    things: int = 32
    views: int = 4
    others: int = 128
    """A step's batch: mean pictures of `things` from `views` sides each, and `others` of the pictures."""
    schedule: Schedule = Schedule(peak=1e-3, floor=1e-5, warmup_steps=100)
    contrast: float = 3.0
    """Weight of how a thing's mean pictures differ from each other, beside that of all pictures."""


@dataclass(frozen=True)
class Pictures:
    """P latents and the pooled text of their captions; and of things in views, the mean latents and the pooled text."""

    latents: Tensor
    """ "P C H W"."""
    told: Tensor
    """ "P T"."""
    means: list[Tensor]
    """Of each thing "V C H W", of at least four views, any view among them. Free of noise, they teach small
    differences soonest."""
    means_told: list[Tensor]
    """ "V T"."""


def pooled_of(unet: DraftUNet, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """What the draft of each of `captions` is painted from, "B T"; each different one is embedded once."""
    unique = list(dict.fromkeys(captions))
    row = {text: index for index, text in enumerate(unique)}
    parts = [unique[start : start + 256] for start in range(0, len(unique), 256)]
    told = torch.cat([pooled(unet.draft_text, text_encoder, tokenizer, part) for part in parts])
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


def draw_lesson(
    vae: AutoencoderKL, views: data.Views, unet: DraftUNet, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer,
    settings: DraftSettings, rng: random.Random,
) -> Pictures:  # fmt: skip
    """Pictures and means of `views`, and what the text has to say of them."""

    def told(captions: list[str]) -> Tensor:
        return pooled_of(unet, text_encoder, tokenizer, captions)

    latents, captions = draw_pictures(vae, views, settings.pictures, rng)
    means, means_told = [], []
    for index, thing in enumerate(THINGS):
        found = mean_pictures(vae, views, index, settings.each)
        means.append(torch.stack(list(found.values())))
        means_told.append(told([caption(thing.name, None, word) for word in found]))
    return Pictures(latents, told(captions), means, means_told)


def contrast(error: Tensor, views: int) -> Tensor:
    """Mean square of what errors "B D" of groups of `views` differ by within each group."""
    groups = error.unflatten(0, (-1, views))
    return (groups - groups.mean(1, keepdim=True)).pow(2).mean() * views / (views - 1)


def paints_nothing(unet: DraftUNet) -> bool:
    """Whether the draft is still as `train_unet.build_unet` made it."""
    return not bool(unet.draft[-1].weight.any())


@torch.no_grad()
def fit_mix(unet: DraftUNet, text: Tensor, latents: Tensor, alphas_cumprod: Tensor) -> None:
    """Mix what the denoiser of `unet` says with its draft as is best at each noise level, in place: least squares."""
    unet.draft_mix.copy_(torch.stack([torch.ones(LEVELS), torch.zeros(LEVELS)]))
    draft = unet.paint(text)
    for level, step in enumerate(torch.linspace(0, LAST_STEP, LEVELS).round().long()):
        abar, noise = alphas_cumprod[step], torch.randn_like(latents)
        said = unet(abar.sqrt() * latents + (1 - abar).sqrt() * noise, step, text).sample
        wanted = abar.sqrt() * noise - (1 - abar).sqrt() * latents
        both = torch.stack([said.flatten(), draft.flatten()], dim=1)
        unet.draft_mix[:, level] = torch.linalg.lstsq(both, wanted.flatten()[:, None]).solution[:, 0]


def teach_draft(unet: DraftUNet, pictures: Pictures, settings: DraftSettings) -> list[tuple[float, float]]:
    """Train the draft of `unet`, in place. Freeze it after.

    Returns:
        Of each step, the squared error of the drafts of mean pictures, and that of the differences between views.
    """
    draft, rng, errors = unet.draft.requires_grad_(True), random.Random(0), []
    optimiser = torch.optim.AdamW(draft.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3)
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.schedule.rate(step / settings.steps, step)
        asked, wanted = [], []
        for thing in rng.sample(range(len(pictures.means)), settings.things):
            views = rng.sample(range(len(pictures.means[thing])), settings.views)
            asked.append(pictures.means_told[thing][views])
            wanted.append(pictures.means[thing][views])
        rows = torch.randint(0, len(pictures.latents), (settings.others,))
        target = torch.cat([*wanted, pictures.latents[rows].float()]).flatten(1)
        error = draft(torch.cat([*asked, pictures.told[rows]])) - target
        of_means = error[: settings.things * settings.views]
        differ = contrast(of_means, settings.views)
        loss = error.pow(2).mean() + settings.contrast * differ
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        errors.append((float(of_means.detach().pow(2).mean()), float(differ.detach())))
    return errors
