"""Train the convolutional refinement of the denoiser: what the memory's drafts lack.

tools/priors train-refinement --views RUN/views --things RUN/things --words RUN/words --out RUN/details --minutes 25

Images and their drafts are rendered first and cached; then the network is trained to add the remainder of the clean
image to the posterior mean around the draft. One in eight has no draft, like a text without meaning.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor

from bozzetto.math.posterior import clean_deviation, plain_deviation
from bozzetto.math.score import add_noise
from bozzetto.types import Cameras
from bozzetto_plugins.priors.camera_denoiser import EMPTY, NOTHING, PAGE_DEVIATION, Recalled, camera_numbers
from bozzetto_plugins.priors.camera_unet import CameraUNet
from bozzetto_plugins.priors.solid_memory import Drawing
from bozzetto_priors.command_line import step_parser
from bozzetto_priors.export.assembled_denoiser import assemble
from bozzetto_priors.objects.captions import COLORS
from bozzetto_priors.objects.thing_table import PIECES
from bozzetto_priors.training.memory_and_precision import keep_memory_mapped
from bozzetto_priors.views.training_views import load_views, painted

VIEWS_OF_EACH = 20
BATCH, RATE, AVERAGE = 8, 4e-4, 0.999
WITHOUT_DRAFT = 0.125
WHITE_PAGES = 0.5
"""Share of images over white; the others are over a random colour."""


@dataclass(frozen=True)
class Pairs:
    """Images and drafts as uint8: colour multiplied by opacity, then opacity."""

    picture: UInt8[Tensor, "P S S 4"]
    draft: UInt8[Tensor, "P S S 4"]

    def __len__(self) -> int:
        return len(self.picture)


@torch.no_grad()
def make_pairs(unet: CameraUNet, folder: Path, generator: torch.Generator) -> Pairs:
    """Render some views of every piece and their drafts, half of them painted."""
    pictures, drafts, device = [], [], generator.device
    palette = torch.tensor(list(COLORS.values()), device=device)
    for row, piece in enumerate(PIECES.values(), start=1):
        views = load_views(folder / f"{piece.key.replace('/', '__')}.npz").to(device)
        order = torch.randperm(len(views.trained), generator=generator, device=device)
        chosen = views.trained[order[:VIEWS_OF_EACH]]
        paint = palette[torch.randint(len(palette), (len(chosen),), generator=generator, device=device)]
        put = (torch.rand(len(chosen), generator=generator, device=device) < 0.5).float()
        size = views.targets.shape[1]
        cameras = Cameras(views.c2w[chosen], views.fov_y_rad[chosen], size, size)
        drawn = unet.draw(Recalled(torch.full_like(chosen, row), paint, put), camera_numbers(cameras))
        pictures.append(in_bytes(painted(views.targets[chosen], paint, put)))
        drafts.append(in_bytes(torch.cat([drawn.colour, drawn.opacity], dim=-1)))
    return Pairs(torch.cat(pictures), torch.cat(drafts))


def in_bytes(picture: Tensor) -> Tensor:
    """Convert numbers in [0, 1] to uint8."""
    return (255.0 * picture.clamp(0.0, 1.0)).round().to(torch.uint8)


def draw_pages(count: int, generator: torch.Generator) -> Float[Tensor, "B 3"]:
    """Draw plain background colours in [0, 1]."""
    colour = torch.rand(count, 3, generator=generator, device=generator.device)
    white = torch.rand(count, 1, generator=generator, device=generator.device) < WHITE_PAGES
    return torch.where(white, torch.ones_like(colour), colour)


def loss_of(unet: CameraUNet, pairs: Pairs, chosen: Int[Tensor, "B"], generator: torch.Generator) -> Tensor:
    """Return the squared error of the clean latents, in units of their uncertainty including the background's."""
    count, device = len(chosen), chosen.device
    picture, draft = (each[chosen].float() / 255.0 for each in (pairs.picture, pairs.draft))
    page = draw_pages(count, generator)[:, None, None]
    shown = 2.0 * (picture[..., :3] + (1.0 - picture[..., 3:]) * page) - 1.0
    latents = torch.nn.functional.pixel_unshuffle(shown.permute(0, 3, 1, 2), unet.factor)
    thing = (torch.rand(count, generator=generator, device=device) >= WITHOUT_DRAFT).long()
    draft = draft * (thing != NOTHING)[:, None, None, None]
    times = torch.randint(len(unet.alpha_bars), (count,), generator=generator, device=device)
    alpha_bar = unet.alpha_bar(times)
    noisy = add_noise(latents, torch.randn(latents.shape, generator=generator, device=device), alpha_bar)
    flat = latents.new_zeros(count, 3)
    recalled = Recalled(thing, flat, flat[:, 0])
    clean = unet.clean(noisy, times, recalled, Drawing(draft[..., :3], draft[..., 3:]))
    deviation = torch.where(thing == NOTHING, PAGE_DEVIATION, unet.config["draft_deviation"])
    opacity = draft[..., 3:].permute(0, 3, 1, 2)
    page_unit = plain_deviation((opacity < EMPTY).float(), alpha_bar, PAGE_DEVIATION)[:, None, None, None]
    pixel_unit = torch.hypot(clean_deviation(alpha_bar, deviation)[:, None, None, None], (1.0 - opacity) * page_unit)
    unit = torch.nn.functional.pixel_unshuffle(pixel_unit.expand(-1, 3, -1, -1), unet.factor)
    return ((clean - latents) / unit).square().mean()


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("train-refinement", __doc__)
    for name in ("views", "things", "words", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    args = parser.parse_args(arguments)
    keep_memory_mapped()
    args.out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator(args.device).manual_seed(0)
    torch.manual_seed(0)
    unet = assemble(args.things, args.words, None).requires_grad_(False).eval().to(args.device)
    kept = args.out / "pairs.safetensors"
    if not kept.exists():
        pairs = make_pairs(unet, args.views, generator)
        save_file({"picture": pairs.picture.cpu(), "draft": pairs.draft.cpu()}, kept)
    pairs = Pairs(**load_file(kept, device=args.device))
    unet.refine.requires_grad_(True)
    average = copy.deepcopy(unet.refine)
    adam = torch.optim.AdamW(unet.refine.parameters(), RATE, weight_decay=0.01)
    start, step, done = time.monotonic(), 0, 0.0
    while done < 1.0:
        done = min(1.0, (time.monotonic() - start) / (60.0 * args.minutes))
        for group in adam.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 200) * (1.0 - 0.95 * done)
        chosen = torch.randint(len(pairs), (BATCH,), generator=generator, device=generator.device)
        loss = loss_of(unet, pairs, chosen, generator)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.refine.parameters(), 1.0)
        adam.step()
        step += 1
        share = min(AVERAGE, 1.0 - 1.0 / (0.1 * step + 1.0))
        with torch.no_grad():
            for mean, new in zip(average.parameters(), unet.refine.parameters(), strict=True):
                mean.lerp_(new, 1.0 - share)
        if step % 100 == 0:
            print(
                json.dumps({"step": step, "loss": round(loss.item(), 4), "minutes": round(done * args.minutes, 1)}),
                flush=True,
            )
            if step % 500 == 0 or done >= 1.0:
                save_file(average.state_dict(), args.out / "refine.safetensors")
    save_file(average.state_dict(), args.out / "refine.safetensors")
