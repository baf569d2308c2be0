"""Sample a grid of prompts from an exported prior: one row per object, one column per view."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from bozzetto_plugins.guidance.draft_unet import unet_class
from diffusers import StableDiffusionPipeline
from PIL import Image

from captions import VIEWS
from export import CFG_SCALE

SUBJECTS = ("a hamburger", "a snowman", "a cactus", "a mailbox", "a red chair")
SIZE = 64


def load_pipeline(prior: Path) -> StableDiffusionPipeline:
    """diffusers' own pipeline with the denoiser of `prior`, whatever its class; no progress bars."""
    # low_cpu_mem_usage: else diffusers advises to install accelerate, which weights this small do not need
    unet = unet_class(prior / "unet").from_pretrained(prior / "unet", low_cpu_mem_usage=False)
    pipeline = StableDiffusionPipeline.from_pretrained(prior, unet=unet, low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample_grid(
    pipeline: StableDiffusionPipeline, subjects: tuple[str, ...], steps: int, scale: float, seed: int
) -> Image.Image:
    """Rows `subjects`, columns `VIEWS`; every tile is 64 px and starts from noise of its own."""
    prompts = [f"{subject}, {view} view" for subject in subjects for view in VIEWS]
    generator = torch.Generator().manual_seed(seed)
    images = pipeline(
        prompts, height=SIZE, width=SIZE, num_inference_steps=steps, guidance_scale=scale, generator=generator
    ).images
    grid = Image.new("RGB", (SIZE * len(VIEWS), SIZE * len(subjects)))
    for i, image in enumerate(images):
        grid.paste(image, (i % len(VIEWS) * SIZE, i // len(VIEWS) * SIZE))
    return grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prior", type=Path, help="folder with model_index.json")
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("--subject", action="append", help="instead of the usual five; can be repeated")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--scale", type=float, default=CFG_SCALE, help="classifier-free guidance scale")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--zoom", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pipeline, subjects = load_pipeline(args.prior), tuple(args.subject or SUBJECTS)
    grid = sample_grid(pipeline, subjects, args.steps, args.scale, args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    scratch = args.out.with_suffix(".tmp.png")
    grid.resize((grid.width * args.zoom, grid.height * args.zoom), Image.Resampling.NEAREST).save(scratch)
    scratch.replace(args.out)


if __name__ == "__main__":
    main()
