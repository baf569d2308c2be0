"""Sample every name from all around, beside the true models, and measure the similarity.

tools/priors sample-phrases PRIOR --data RUN/debian --out RUN/samples

Each phrase is sampled at eight azimuths, from cameras that were not used in training. `RUN/samples` gets an image and a
JSON file for each, so that an interrupted run continues where it stopped (`--part 0/2` takes every second one). Then
`docs/samples.md` and its sheets are written: the PSNR over white of every phrase, and the means.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from bozzetto.files import slug, write_text
from bozzetto_priors.command_line import step_parser
from bozzetto_priors.judges.ground_truth import Truth, over_white, psnr, ring
from bozzetto_priors.judges.prior_sampler import Sampler
from bozzetto_priors.objects.captions import caption
from bozzetto_priors.objects.thing_table import PIECES, THINGS
from bozzetto_priors.repository_paths import ROOT, TEXT_PRIOR

TILE, LABEL = 64, 14
"""Side of an image on the sheets and height of a label, pixels."""
COLUMNS, ROWS = 2, 16
"""Layout of a sheet, in names."""
ENOUGH_DB = 22.0
"""Mean PSNR over names that a prior must reach, dB."""


def strip(sampled: Float[Tensor, "V 3 S S"], true: Float[Tensor, "V 3 S S"]) -> Image.Image:
    """Return samples side by side, with the ground truth below them, `TILE` pixels wide each."""
    rows = [torch.cat(list(each), dim=2) for each in (sampled, true)]
    pixels = (torch.cat(rows, dim=1).permute(1, 2, 0).clamp(0.0, 1.0) * 255.0).round().byte().numpy()
    return Image.fromarray(pixels).resize((TILE * len(sampled), 2 * TILE), Image.Resampling.LANCZOS)


def sheet(strips: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Return at most `COLUMNS * ROWS` labelled strips on one page."""
    width, height = strips[0][1].width, strips[0][1].height + LABEL
    rows = -(-len(strips) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * width + (COLUMNS - 1) * LABEL, rows * height), "white")
    for index, (label, picture) in enumerate(strips):
        left, top = index // rows * (width + LABEL), index % rows * height
        ImageDraw.Draw(page).text((left + 2, top + 1), label, fill="black")
        page.paste(picture, (left, top + LABEL))
    return page


def summary(found: dict[str, float]) -> dict[str, float]:
    """Return mean and minimum of the PSNR by phrase, over all phrases and over the things' plain names."""
    plain = [found[thing.name] for thing in THINGS if thing.name in found]
    return {
        "phrases": len(found), "mean_db": round(float(np.mean(list(found.values()))), 2),
        "names": len(plain), "mean_db_of_names": round(float(np.mean(plain)), 2) if plain else float("nan"),
        "lowest_db": min(found.values()),
    }  # fmt: skip


def page(found: dict[str, float], sheets: int, steps: int) -> str:
    """Return the content of `docs/samples.md`."""
    means = summary(found)
    verdict = "reached" if means["mean_db_of_names"] >= ENOUGH_DB else "**missed**"
    worst = ", ".join(f"{name} ({db:.1f})" for name, db in sorted(found.items(), key=lambda item: item[1])[:12])
    rows = "".join(f"| {name} | {db:.1f} |\n" for name, db in found.items())
    pictures = "\n\n".join(f"![sheet {number}](samples/{number}.jpg)" for number in range(1, sheets + 1))
    return (
        "# Samples of the bundled prior\n\n"
        f"Every phrase it knows, sampled in {steps} steps from eight azimuths (above), beside the true models (below). "
        "These cameras are not among those it learned from, but the models are: this prior is a memory of its things, "
        "not a model of the world.\n\n"
        f"- PSNR over white, mean over {means['names']} names: **{means['mean_db_of_names']:.1f} dB** ({ENOUGH_DB:.0f} "
        f"dB wanted: {verdict}); over all {means['phrases']} phrases: {means['mean_db']:.1f} dB\n"
        f"- the furthest from the truth (dB): {worst}\n\n"
        "Made by `tools/priors sample-phrases`.\n\n"
        f"{pictures}\n\n| phrase | dB |\n|---|---|\n{rows}"
    )


def write_docs(out: Path, docs: Path, steps: int) -> None:
    """Write the page and its sheets from all results in `out`."""
    done = {words: out / f"{slug(words)}.json" for words in PIECES}
    found = {words: json.loads(path.read_text())["psnr"] for words, path in done.items() if path.exists()}
    strips = [(f"{words}  {db:.1f} dB", Image.open(done[words].with_suffix(".png"))) for words, db in found.items()]
    (docs / "samples").mkdir(parents=True, exist_ok=True)
    pages = [strips[start : start + COLUMNS * ROWS] for start in range(0, len(strips), COLUMNS * ROWS)]
    for number, some in enumerate(pages, start=1):
        sheet(some).save(docs / "samples" / f"{number}.jpg", quality=85, optimize=True)
    write_text(docs / "samples.md", page(found, len(pages), steps))
    print(json.dumps(summary(found)))


def main(arguments: Sequence[str]) -> None:
    parser = step_parser("sample-phrases", __doc__)
    parser.add_argument("prior", type=Path, nargs="?", default=TEXT_PRIOR, help="default: the bundled one")
    parser.add_argument("--data", type=Path, required=True, help="folder the Debian package is unpacked in")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where samples.md goes; default: %(default)s")
    parser.add_argument("--names", nargs="*", help="instead of all; writes no page")
    parser.add_argument("--part", default="0/1", help="i/n: every n-th name from the i-th, and no page unless 0/1")
    parser.add_argument("--steps", type=int, default=8, help="of DDIM; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sampler = Sampler(args.prior)
    truth, cameras = Truth(args.data, sampler.size), ring(sampler.size)
    args.out.mkdir(parents=True, exist_ok=True)
    first, every = (int(number) for number in args.part.split("/"))
    for words in list(args.names or PIECES)[first::every]:
        target = args.out / f"{slug(words)}.json"
        if target.exists():
            continue
        sampled = sampler(caption(words), cameras, args.steps, args.seed)
        true = over_white(truth.pictures(PIECES[words], cameras))
        strip(sampled, true).save(target.with_suffix(".png"))
        told = {"words": words, "psnr": round(psnr(sampled, true), 2)}
        write_text(target, json.dumps(told))
        print(json.dumps(told), flush=True)
    if every == 1 and not args.names:
        write_docs(args.out, args.docs, args.steps)
