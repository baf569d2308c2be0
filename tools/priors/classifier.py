"""Train the network of `judge.py` on renders alone.

Pictures are shifted, scaled, blurred and made grainy in training, because what it will judge is softer and not as clean
as renders are.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import data
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import cameras
from captions import COLORS
from judge import VIEWS, Classifier, Judge, answer, blur, show
from objects import THINGS
from training import Average, Schedule, keep_memory_mapped, load_checkpoint, save_checkpoint

ABOVE = VIEWS.index("overhead")
DISTINCT_SHARE = 0.85
"""A thing's views can be told apart if the network tells this share of its held-out ones as soft and grainy as samples
are."""
DRAWN = 8
"""So often each held-out view is drawn for that, in other light and colours: of a thing there are eight or so."""


@dataclass(frozen=True)
class Settings:
    """Sizes and rates of the classifier's training."""

    batch: int = 64
    decay: float = 0.998
    smoothing: float = 0.05
    schedule: Schedule = Schedule(peak=3e-3, floor=2e-5, warmup_steps=100)


def view_class(azimuth_deg: float, elevation_deg: float) -> int:
    """Index in `VIEWS` of what a camera sees."""
    word = cameras.view_word(azimuth_deg, elevation_deg)
    return VIEWS.index(cameras.which_side(azimuth_deg) if word == "side" else word)


def grain(images: Tensor) -> Tensor:
    """Noise like a denoiser's left-overs: of each image's own strength (deviation up to 0.15) and coarseness."""
    count, channels, height, width = images.shape
    noise = torch.zeros_like(images)
    for coarseness in (1, 2, 4):
        layer = torch.randn(count, channels, height // coarseness, width // coarseness)
        layer = nn.functional.interpolate(layer, size=(height, width), mode="bilinear", align_corners=False)
        noise += torch.rand(count, 1, 1, 1) * layer
    return 0.1 * torch.rand(count, 1, 1, 1) * noise


def distort(images: Tensor, above: Tensor) -> Tensor:
    """Images scaled by 0.75 to 1.1, shifted by up to 6 px; half of them blurred, and half of them with grain.

    Pictures from `above` are turned by any angle: there are few of them, and from there nothing tells up from down.
    """
    count = len(images)
    turn_rad = torch.where(above, 2 * torch.pi * torch.rand(count), torch.zeros(count))
    moved = show(images, 0.75 + 0.35 * torch.rand(count), (torch.rand(count, 2) * 2 - 1) * 0.19, turn_rad)
    soft = blur(moved)
    soft = torch.where(torch.rand(count, 1, 1, 1) < 0.3, blur(soft), soft)
    moved = torch.where(torch.rand(count, 1, 1, 1) < 0.5, soft, moved)
    return torch.where(torch.rand(count, 1, 1, 1) < 0.5, moved + grain(moved), moved).clamp(-1, 1)


@dataclass(frozen=True)
class Labels:
    """What pictures show: indices "B"; the colour is -1 where the piece keeps its own."""

    name: Tensor
    color: Tensor
    view: Tensor


def half_tinted(count: int, rng: random.Random) -> list[str | None]:
    """A colour for every second picture, whatever it shows."""
    words = list(COLORS)
    return [rng.choice(words) if rng.random() < 0.5 else None for _ in range(count)]


def draw(views: data.Views, index: Tensor, colors: list[str | None]) -> tuple[Tensor, Labels]:
    """Images "B 3 64 64" of the views `index` in `colors`, and their labels."""
    words = list(COLORS)
    images, _ = data.compose(views, index, colors, data.Augmentation())
    seen = [view_class(float(a), float(e)) for a, e, _ in views.camera[index]]
    picked = torch.tensor([-1 if color is None else words.index(color) for color in colors])
    return images, Labels(views.thing[index], picked, torch.tensor(seen))


def loss_of(network: Classifier, images: Tensor, labels: Labels, smoothing: float) -> Tensor:
    """Cross entropies of name, colour (where there is one) and view."""
    names, colors, views = network(images)
    seen = views[torch.arange(len(views)), labels.name]  # of what it is, whatever it is taken for
    loss = nn.functional.cross_entropy(names, labels.name, label_smoothing=smoothing)
    loss = loss + 0.5 * nn.functional.cross_entropy(seen, labels.view, label_smoothing=smoothing)
    tinted = labels.color >= 0
    if tinted.any():
        loss = loss + 0.5 * nn.functional.cross_entropy(colors[tinted], labels.color[tinted], label_smoothing=smoothing)
    return loss


def is_clear(views: data.Views) -> Tensor:
    """Which of `views` are 10 degrees or more from a border between two words."""
    return torch.tensor([not cameras.near_border(float(a), float(e)) for a, e, _ in views.camera])


@torch.no_grad()
def told_apart(network: Classifier, views: data.Views) -> list[int]:
    """The things whose views `network`, not training, tells apart in distorted pictures of `views`."""
    index = torch.nonzero(is_clear(views))[:, 0]
    right, drawn, rng = torch.zeros(len(THINGS)), torch.zeros(len(THINGS)), random.Random(3)
    for _ in range(DRAWN):
        images, labels = draw(views, index, data.draw_colors(views.thing[index], rng))
        seen = answer(network, distort(images, labels.view == ABOVE))[2]
        right.index_add_(0, labels.name, (seen == labels.view).float())
        drawn.index_add_(0, labels.name, torch.ones(len(seen)))
    return torch.nonzero(right >= DISTINCT_SHARE * drawn.clamp(min=1))[:, 0].tolist()


@torch.no_grad()
def measure(network: Classifier, views: data.Views) -> tuple[dict[str, float], list[str]]:
    """Accuracies on the held-out `views`, drawn as for the prior's training, and the names whose views it tells apart.

    `view` counts those names only, and clear views.
    """
    torch.manual_seed(2)
    network.eval()
    index = torch.arange(len(views.thing))
    images, labels = draw(views, index, data.draw_colors(views.thing, random.Random(2)))
    names, colors, seen = answer(network, images)
    distinct = told_apart(network, views)
    network.train()
    tinted, clear = labels.color >= 0, is_clear(views)
    right = (seen == labels.view)[clear]
    told = torch.isin(labels.name[clear], torch.tensor(distinct))
    result = {
        "name": float((names == labels.name).float().mean()),
        "color": float((colors == labels.color)[tinted].float().mean()),
        "view": float(right[told].float().mean()) if distinct else 0.0,
        "view_of_all": float(right.float().mean()),
        "pictures": len(images),
    }
    return result, [THINGS[t].name for t in distinct]


def brief(result: dict[str, float], distinct: list[str]) -> dict[str, float]:
    """What `measure` found, as it is printed."""
    return {"distinct": len(distinct), **{key: round(value, 4) for key, value in result.items()}}


def chances(views: data.Views) -> Tensor:
    """How often each view is drawn: common things less the more there are of them, views from above three times."""
    above = views.camera[:, 1] > cameras.OVERHEAD_DEG
    return views.weight.sqrt() * torch.where(above, 3.0, 1.0)


@torch.no_grad()
def settle(network: Classifier, views: data.Views, rng: random.Random) -> None:
    """Measure the batch norms' statistics anew: averaged weights have others than the ones they are an average of."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # plain means
    for _ in range(8):
        index = torch.multinomial(chances(views), 128, replacement=True)
        images, labels = draw(views, index, half_tinted(len(index), rng))
        network(distort(images, labels.view == ABOVE))
    for norm in norms:
        norm.momentum = 0.1


def write(folder: Path, network: Classifier, result: dict[str, float], distinct: list[str]) -> None:
    """The weights in half precision and the words beside them."""
    scratch = folder / "classifier.tmp"
    save_file(
        {k: v.half().contiguous() if v.is_floating_point() else v for k, v in network.state_dict().items()}, scratch
    )
    scratch.replace(folder / "classifier.safetensors")
    words = {"names": [thing.name for thing in THINGS], "colors": list(COLORS), "views": list(VIEWS)}
    shape = {"channels": list(network.channels)}
    scratch.write_text(
        json.dumps({**words, **shape, "distinct": distinct, "held_out": result}, indent=1), encoding="utf-8"
    )
    scratch.replace(folder / "classifier.json")


def train(args: argparse.Namespace, settings: Settings) -> None:
    """Run until `args.minutes` of processor time are used, over all restarts together."""
    views, held_out = data.load_views(args.renders), data.load_views(args.renders, held_out=True)
    network = Classifier(len(THINGS), len(COLORS), len(VIEWS)).to(memory_format=torch.channels_last)
    parameters = list(network.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.02, fused=True)
    average, step, used_s = Average(parameters), 0, 0.0
    state = load_checkpoint(args.out / "classifier.pt")
    if state is not None:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average.mean, step, used_s = state["average"], state["step"], state["used"]
    rng, limit, weight = random.Random(step), args.minutes * 60, chances(views)
    torch.manual_seed(step)
    last = time.monotonic()
    while used_s < limit:
        start = time.process_time()
        index = torch.multinomial(weight, settings.batch, replacement=True)
        images, labels = draw(views, index, half_tinted(settings.batch, rng))
        for group in optimiser.param_groups:
            group["lr"] = settings.schedule.rate(used_s / limit, step)
        shown = distort(images, labels.view == ABOVE).contiguous(memory_format=torch.channels_last)
        loss = loss_of(network, shown, labels, settings.smoothing)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        average.update(settings.decay, step)
        step += 1
        used_s += (time.process_time() - start) / args.threads
        if time.monotonic() - last > args.save_minutes * 60 or used_s >= limit:
            average.swap()
            settle(network, views, rng)
            result, distinct = measure(network, held_out)
            write(args.out, network, result, distinct)
            average.swap()
            parts = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "average": average.mean}
            save_checkpoint(args.out / "classifier.pt", {**parts, "step": step, "used": used_s})
            row = {"step": step, "used_s": round(used_s), "loss": round(float(loss.detach()), 4)}
            print(json.dumps({**row, **brief(result, distinct)}), flush=True)
            last = time.monotonic()


def check(args: argparse.Namespace) -> None:
    """Measure the classifier in `args.out` and print its accuracies, and of how many names it tells views apart."""
    result, distinct = measure(Judge.load(args.out).network, data.load_views(args.renders, held_out=True))
    print(json.dumps(brief(result, distinct)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renders", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights and the training state")
    parser.add_argument("--check", action="store_true", help="train nothing: measure the one in --out and print it")
    parser.add_argument("--minutes", type=float, default=30.0, help="of processor time; default: %(default)s")
    parser.add_argument("--save-minutes", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    keep_memory_mapped()
    torch.set_num_threads(args.threads)
    if args.check:
        check(args)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    train(args, Settings())


if __name__ == "__main__":
    main()
