"""Ask a prior for every name in every view, and every name in some colours, and let the classifier name what comes.

python evaluate.py PRIOR --out RUN/evaluation

writes `evaluation.json` (shares of right names, colours and views, and the names most often missed) and
`evaluation.png`, one row per name.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from captions import COLORS, VIEWS, caption
from export import CFG_SCALE
from judge import TRAINED, Judge
from objects import THINGS
from samples import load_pipeline
from training import keep_memory_mapped

SIZE = 64


@dataclass(frozen=True)
class Question:
    """A prompt, and what its picture should show."""

    name: str
    color: str | None
    view: str

    @property
    def prompt(self) -> str:
        """The caption."""
        return caption(self.name, self.color, self.view)

    def view_is(self, seen: str) -> bool:
        """Whether a view class fits: `side` leaves open which."""
        return seen in ("left side", "right side") if self.view == "side" else seen == self.view


def questions(names: Sequence[str], colors: int) -> list[Question]:
    """Every name in every view, then every name in `colors` colours, from the front; they rotate over the names."""
    words = list(COLORS)
    plain = [Question(name, None, view) for name in names for view in VIEWS]
    tinted = [
        Question(name, words[(3 * i + 7 * k) % len(words)], "front")
        for i, name in enumerate(names)
        for k in range(colors)
    ]
    return plain + tinted


@torch.no_grad()
def sample(pipeline: StableDiffusionPipeline, prompts: list[str], steps: int, scale: float, seed: int) -> Tensor:
    """Images "B 3 64 64" in [-1, 1], all from noise of their own."""
    generator, parts = torch.Generator().manual_seed(seed), []
    for start in range(0, len(prompts), 32):
        pictures = pipeline(
            prompts[start : start + 32], height=SIZE, width=SIZE, num_inference_steps=steps, guidance_scale=scale,
            generator=generator, output_type="pt",
        ).images  # fmt: skip
        parts.append(pictures.float() * 2 - 1)
        print(json.dumps({"sampled": min(start + 32, len(prompts)), "of": len(prompts)}), flush=True)
    return torch.cat(parts)


def share(flags: Sequence[bool]) -> float:
    """Of true ones; 0 for none at all."""
    return round(sum(flags) / max(1, len(flags)), 4)


def score(
    asked: Sequence[Question], seen: Sequence[tuple[str, str, str]], distinct: frozenset[str]
) -> dict[str, object]:
    """Shares of right answers. Views count for names whose views the classifier can tell apart, colours where asked."""
    rows = list(zip(asked, seen, strict=True))
    plain = [(q, s) for q, s in rows if q.color is None]
    tinted = [(q, s) for q, s in rows if q.color is not None]
    told = [(q, s) for q, s in plain if q.name in distinct]
    missed = Counter(q.name for q, s in rows if s[0] != q.name)
    return {
        "name": share([s[0] == q.name for q, s in plain]),
        "name_in_colour": share([s[0] == q.name for q, s in tinted]),
        "color": share([s[1] == q.color for q, s in tinted]),
        "view": share([q.view_is(s[2]) for q, s in told]),
        "view_by_word": {view: share([q.view_is(s[2]) for q, s in told if q.view == view]) for view in VIEWS},
        "name_by_view": {view: share([s[0] == q.name for q, s in plain if q.view == view]) for view in VIEWS},
        "samples": len(rows),
        "names_with_distinct_views": len(distinct),
        "missed": dict(missed.most_common(30)),
        "taken_for": {q.prompt: s[0] for q, s in plain if s[0] != q.name and missed[q.name] > 2},
    }


def sheet(images: Tensor, names: int, colors: int) -> Image.Image:
    """One row per name: its views, then its colours."""
    views, columns = len(VIEWS), len(VIEWS) + colors
    grid = Image.new("RGB", (SIZE * columns, SIZE * names))
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    for i, picture in enumerate(pixels):
        tinted = i - names * views
        row, column = divmod(i, views) if tinted < 0 else (tinted // colors, views + tinted % colors)
        grid.paste(Image.fromarray(picture), (column * SIZE, row * SIZE))
    return grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", type=Path, help="folder with model_index.json")
    parser.add_argument("--classifier", type=Path, default=TRAINED, help="folder written by classifier.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--names", nargs="*", help="instead of all")
    parser.add_argument("--colors", type=int, default=2, help="colours per name")
    parser.add_argument("--steps", type=int, default=12, help="of DDIM; default: %(default)s")
    parser.add_argument("--scale", type=float, default=CFG_SCALE, help="classifier-free guidance scale")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    keep_memory_mapped()
    torch.set_num_threads(args.threads)
    judge = Judge.load(args.classifier)
    names = args.names or [thing.name for thing in THINGS]
    asked = questions(names, args.colors)
    images = sample(load_pipeline(args.prior), [q.prompt for q in asked], args.steps, args.scale, args.seed)
    result = {"steps": args.steps, "cfg_scale": args.scale, "seed": args.seed}
    result |= score(asked, judge.look(images), judge.distinct)
    args.out.mkdir(parents=True, exist_ok=True)
    scratch = args.out / "evaluation.tmp.png"
    sheet(images, len(names), args.colors).save(scratch)
    scratch.replace(args.out / "evaluation.png")
    scratch = args.out / "evaluation.tmp"
    scratch.write_text(json.dumps(result, indent=1), encoding="utf-8")
    scratch.replace(args.out / "evaluation.json")
    print(json.dumps({k: v for k, v in result.items() if not isinstance(v, dict)}))


if __name__ == "__main__":
    main()
